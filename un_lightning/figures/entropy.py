"""Figures of the analysis of entropy neurons: the paper's six panels, and direct against total effects."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy import ndarray

from un_lightning.figures.point_labels import point_labels
from un_lightning.figures.style import FAINT, HUES, INK, MARK, REST, style


SHOWN = 6
"""Neurons that get a colour and a name; a figure with more would name none of them."""
_VISIBLE_BINS = 40
_CURVES = {
    "scale": "(c) final norm's scale",
    "reciprocal_rank": "(d) reciprocal rank of the next token",
    "entropy": "(e) entropy, nats",
    "loss": "(f) loss, nats",
}


@style()
def entropy_neurons(
    norms: Float[ndarray, " neurons"],
    chosen: pd.DataFrame,
    histograms: Int[ndarray, "chosen bins"],
    curves: pd.DataFrame,
    nominal: Mapping[str, float],
    confidence: float,
) -> Figure:
    """Show weights of the chosen neurons, and what fixing each at a value does.

    Args:
        norms: ‖w_in‖² + ‖w_out‖² of all neurons of the model.
        chosen: One row a chosen neuron, with `name, layer, neuron, baseline, l2_penalty, norm_mediated`.
        histograms: Counts of cos(W_U, w_out) of the same rows over [-1, 1].
        curves: The table of that name.
        nominal: Means of the untouched run by metric.
        confidence: Level of the intervals in `curves`.

    Returns:
        Six panels: (a) norms, (b) cosines with the unembedding, (c) scale, (d) reciprocal rank, (e) entropy,
        (f) loss. Bands are confidence intervals of the difference to the untouched run; the grey
        one reaches from the smallest to the largest of the random neurons, whose median is its line.
    """
    figure = Figure(figsize=(11.5, 6.4))
    grid = [figure.add_subplot(2, 3, place + 1) for place in range(6)]
    colours = _colours(chosen)
    _norms(grid[0], norms, chosen, colours)
    _cosines(grid[1], histograms, chosen, colours)
    for axes, (metric, title) in zip(grid[2:], _CURVES.items(), strict=True):
        own = curves[curves["metric"] == metric]
        _random(axes, own)
        for row in chosen[~chosen["baseline"]].to_dict("records"):
            line = own[(own["layer"] == row["layer"]) & (own["neuron"] == row["neuron"])].sort_values("value")
            colour = colours.get(row["name"])
            if colour is None:
                axes.plot(line["value"], line["mean"], color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
                continue
            axes.plot(line["value"], line["mean"], color=colour, zorder=3, marker="o", markersize=2.5)
            low, high = (nominal[metric] + line[f"change_{side}"] for side in ("low", "high"))
            axes.fill_between(line["value"], low, high, color=colour, alpha=0.25, linewidth=0, zorder=2)
        axes.axhline(nominal[metric], color=INK, linestyle="--", linewidth=1)
        axes.set_title(title)
        axes.set_xlabel("fixed activation")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    if (~chosen["baseline"]).sum() > len(colours):
        handles.append(Line2D([], [], color=FAINT, linewidth=0.8, linestyle=":", label="other chosen ones"))
    if chosen["baseline"].any():
        count = int(chosen["baseline"].sum())
        handles.append(Line2D([], [], color=REST, label=f"{count} random neurons: median and range"))
    handles.append(Line2D([], [], color=INK, linestyle="--", label="untouched"))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        title=f"coloured bands: {confidence:.0%} intervals of the change, each neuron and value by itself",
        alignment="left",
    )
    return figure


@style()
def total_and_direct(effects: pd.DataFrame) -> Figure:
    """Show how much of each neuron's effect passes through the final norm's scale.

    Args:
        effects: One row a chosen neuron, with `name, baseline, total_effect, norm_mediated` and standard
            errors.

    Returns:
        One panel: 1 - direct / total effect against the total effect, with standard errors.
    """
    figure = Figure(figsize=(6.2, 4.2))
    axes = figure.add_subplot()
    colours = _colours(effects)
    for row in effects.to_dict("records"):
        colour = colours.get(row["name"], REST)
        axes.errorbar(
            row["total_effect"],
            row["norm_mediated"],
            xerr=np.nan_to_num(row["total_effect_stderr"]),
            yerr=np.nan_to_num(row["norm_mediated_stderr"]),
            color=colour,
            marker="o",
            markersize=5 if row["name"] in colours else 3.5,
            linewidth=1,
            zorder=3 if row["name"] in colours else 2,
        )
    axes.axhline(0, color=MARK, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("total effect of mean ablation: mean |change of loss|, nats")
    axes.set_ylabel("share that a frozen scale takes away")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("bars: standard errors", fontsize=9, loc="right")
    finite = effects[np.isfinite(effects[["total_effect", "norm_mediated"]]).all(axis=1)]
    place = finite.set_index("name")[["total_effect", "norm_mediated"]]
    named = [name for name in colours if name in place.index]
    rest = place.drop(named)
    figure.draw_without_rendering()  # names need the final limits
    point_labels(
        axes, place.loc[named].to_numpy(), named, [colours[name] for name in named],
        rest.to_numpy(),
    )  # fmt: skip
    return figure


def _random(axes: Axes, curves: pd.DataFrame) -> None:
    """Range and median of the random neurons at each value."""
    grouped = curves[curves["baseline"]].groupby("value")["mean"]
    low, middle, high = grouped.min(), grouped.median(), grouped.max()
    axes.fill_between(low.index, low, high, color=REST, alpha=0.35, linewidth=0, zorder=0)
    axes.plot(middle.index, middle, color=FAINT, linewidth=1.2, zorder=1)


def _colours(chosen: pd.DataFrame) -> dict[str, str]:
    """Colours of the neurons that are no baseline, those with the largest share through the norm first."""
    named = chosen[~chosen["baseline"]].sort_values("norm_mediated", ascending=False)["name"]
    return dict(zip(named.head(SHOWN), HUES, strict=False))


def _norms(axes: Axes, norms: ndarray, chosen: pd.DataFrame, colours: Mapping[str, str]) -> None:
    axes.hist(norms, bins=60, color=REST)
    axes.set_yscale("log")
    top = axes.get_ylim()[1]
    for row in chosen[chosen["baseline"]].to_dict("records"):
        axes.plot([row["l2_penalty"]] * 2, [0.5, 0.8], color=FAINT, linewidth=1)
    for row in chosen.to_dict("records"):
        if row["name"] in colours:
            axes.axvline(row["l2_penalty"], color=colours[row["name"]])
    axes.set_ylim(0.5, top)
    axes.set_title("(a) neurons by weight norm")
    axes.set_xlabel("‖w_in‖² + ‖w_out‖²")


def _cosines(axes: Axes, histograms: ndarray, chosen: pd.DataFrame, colours: Mapping[str, str]) -> None:
    filled = np.flatnonzero(histograms.sum(0)) if len(histograms) else np.array([0])
    wider = max(1, (int(filled[-1]) - int(filled[0])) // _VISIBLE_BINS)
    bins = histograms.shape[1] // wider
    counts = histograms[:, : bins * wider].reshape(len(histograms), bins, wider).sum(2)
    edges = np.linspace(-1, 1, histograms.shape[1] + 1)[::wider][: bins + 1]
    for front in (False, True):
        for row, own in zip(chosen.to_dict("records"), counts, strict=True):
            if (row["name"] in colours) == front:
                axes.stairs(own, edges, color=colours.get(row["name"], REST), linewidth=1.4 if front else 0.7)
    reach = max(abs(edges[int(filled[0]) // wider]), abs(edges[min(int(filled[-1]) // wider + 1, bins)]))
    axes.set_xlim(-1.05 * reach, 1.05 * reach)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.8)
    axes.set_title("(b) tokens by cos(W_U, w_out)")
    axes.set_xlabel("cosine")
