"""Figures of the attention analysis: heads that rest on BOS, and neurons that wake them (paper Fig. 8)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy import ndarray

from un_lightning.figures.point_labels import point_labels
from un_lightning.figures.style import BASELINE, FAINT, INK, MARK, MATCH, style


BINS = 120
COLUMNS = 4
POINTS = 4000
"""Tokens drawn a panel."""
LABELS = {
    "activation": "activation",
    "bos_change": "change of attention to BOS",
    "norm_change": "relative change of output norm",
}


@style()
def heads(table: pd.DataFrame, model: str) -> Figure:
    """Show how much heads attend to BOS, and how little they move from there.

    Args:
        table: One row a head, with `layer, bos_attention, value_ratio`.
        model: Name of the model.
    """
    figure = Figure(figsize=(5.6, 3.8))
    axes = figure.subplots()
    axes.grid(axis="both")
    points = axes.scatter(
        table["bos_attention"], table["value_ratio"], c=table["layer"], cmap="viridis", s=28, linewidth=0
    )
    axes.axhline(1, color=FAINT, linewidth=0.8)
    median = table["value_ratio"].median()
    axes.axhline(median, color=MARK, linewidth=1, linestyle="--", label=f"median: {median:.2f}")
    axes.set_xlim(0, min(1.0, 1.15 * float(table["bos_attention"].max()) + 0.02))
    for row in table.nlargest(3, "bos_attention").to_dict("records"):
        axes.annotate(
            f"L{row['layer']}.H{row['head']}",
            (row["bos_attention"], row["value_ratio"]),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("mean attention to BOS")
    axes.set_ylabel("‖W_O v‖ of other tokens / of BOS")
    axes.set_title(f"heads of {model}")
    axes.legend(loc="best")
    figure.colorbar(points, label="layer", ticks=MaxNLocator(integer=True))
    return figure


@style()
def scores_by_layer(
    found: Mapping[int, Float[ndarray, " _"]], null: Mapping[int, Float[ndarray, " _"]], model: str
) -> Figure:
    """Show how strongly neurons pull the heads of each layer towards BOS, beside random directions.

    Args:
        found: Scores of all earlier neurons for all heads of a layer, by layer.
        null: Scores of random directions for the same heads.
        model: Name of the model.

    Returns:
        One panel a layer of heads; densities on a logarithmic scale, so that the tails can be seen.
    """
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.8, 2.2 * rows + 0.7))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    reach = max(float(np.nanmax(np.abs(values))) for values in (*found.values(), *null.values()))
    edges = np.linspace(-reach, reach, BINS + 1)
    for axes, (layer, values) in zip(grid, found.items(), strict=False):
        for own, colour, label in ((null[layer], BASELINE, "random directions"), (values, MATCH, "neurons")):
            density = np.histogram(own[np.isfinite(own)], edges, density=True)[0]
            axes.stairs(
                np.where(density > 0, density, np.nan), edges, color=colour, label=label, linewidth=1.4
            )
        axes.set_yscale("log")
        axes.set_title(f"heads of layer {layer}")
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    for axes in grid[max(0, len(found) - columns) : len(found)]:
        axes.set_xlabel("score")
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in grid[::columns]:
        axes.set_ylabel("density")
    figure.legend(
        *grid[0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=2,
        title=f"{model}: pull towards BOS (+) and away from it (−), mean key taken off",
        alignment="left",
    )
    return figure


@style()
def path_ablation(pairs: pd.DataFrame, tokens: pd.DataFrame) -> Figure:
    """Show what the path from a neuron to a head's queries does, token by token.

    Args:
        pairs: One row a pair, with its correlations and slopes.
        tokens: Activation, change of attention to BOS and change of the output's norm at sampled tokens.

    Returns:
        One row of panels a pair; lines are least-squares fits over all tokens.
    """
    relations = (("activation", "bos_change"), ("bos_change", "norm_change"), ("activation", "norm_change"))
    figure = Figure(figsize=(10.2, 2.9 * len(pairs) + 0.3))
    grid = figure.subplots(len(pairs), 3, squeeze=False)
    for row, pair in zip(grid, pairs.to_dict("records"), strict=True):
        keys = ("layer", "neuron", "head_layer", "head")
        own = tokens[np.logical_and.reduce([tokens[key] == pair[key] for key in keys])]
        shown = own.sample(min(POINTS, len(own)), random_state=0)
        name = f"L{pair['layer']}.{pair['neuron']} > L{pair['head_layer']}.H{pair['head']}"
        for axes, (first, second) in zip(row, relations, strict=True):
            axes.grid(axis="both")
            axes.plot(
                shown[first], shown[second], ".", color=MATCH, markersize=2.5, alpha=0.4, markeredgewidth=0
            )
            _fit(axes, own, pair, first, second)
            axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
            axes.axvline(0, color=FAINT, linewidth=0.6, zorder=0)
            axes.set_xlabel(LABELS[first])
            axes.set_ylabel(LABELS[second])
        row[0].set_title(f"{name} (score {pair['score_shifted']:+.2f})")
    return figure


@style()
def screening(screens: pd.DataFrame) -> Figure:
    """Show whether a neuron's score foretells what removing it does.

    Args:
        screens: One row a neuron of each screened layer, with its score, norm and slope.
    """
    groups = list(screens.groupby(["layer", "head_layer", "head"], sort=False))[:COLUMNS]
    figure = Figure(figsize=(3.1 * len(groups) + 0.5, 3.2))
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    marked: list[tuple[Axes, np.ndarray, np.ndarray, np.ndarray]] = []
    for axes, (key, own) in zip(panels, groups, strict=True):
        layer, head_layer, head = np.asarray(key).tolist()
        effect = own["score_shifted"] * own["w_out_norm"]
        axes.grid(axis="both")
        axes.plot(effect, own["slope"], ".", color=MATCH, markersize=4, markeredgewidth=0, alpha=0.7)
        axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
        axes.axvline(0, color=FAINT, linewidth=0.6, zorder=0)
        rank = effect.corr(own["slope"], method="spearman")
        axes.set_title(f"layer {layer} > L{head_layer}.H{head}\nSpearman {rank:.2f}")
        axes.set_xlabel("score · ‖w_out‖")
        slopes, places = own["slope"].to_numpy(), effect.to_numpy()
        largest = np.argsort(-np.abs(slopes))[:2]
        marked.append((axes, np.stack([places, slopes], 1), largest, own["neuron"].to_numpy()[largest]))
    panels[0].set_ylabel("attention to BOS per activation")
    figure.draw_without_rendering()  # names need the final limits
    for axes, points, largest, neurons in marked:
        names = [f"{neuron}" for neuron in neurons]
        point_labels(axes, points[largest], names, [INK] * len(names), others=points)
    return figure


def _fit(axes: Axes, own: pd.DataFrame, pair: Mapping, first: str, second: str) -> None:
    name = f"{first}_{second}"
    slope = pair[f"slope_{name}"]
    ends = np.array([own[first].min(), own[first].max()])
    line = pair[f"mean_{second}"] + slope * (ends - pair[f"mean_{first}"])
    label = f"r = {pair[f'pearson_{name}']:.2f}, rank {pair[f'spearman_{name}']:.2f}"
    axes.plot(ends, line, color=MARK, linewidth=1.2, label=label)
    axes.legend(loc="best", fontsize=8, handlelength=1.2)
