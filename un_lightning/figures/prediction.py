"""Figures of the prediction analysis: what neurons do to the vocabulary, and when (paper Figs. 5 and 6)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy import ndarray
from scipy.stats import gaussian_kde

from un_lightning.figures.layer_axis import layer_span, layer_ticks
from un_lightning.figures.style import FAINT, HUES, INK, REST, style


LEVELS = (5, 10, 50, 90, 95)
COLOURS = {"prediction": "#0072B2", "suppression": "#D55E00", "partition": "#009E73"}
"""A class has the same colour in every figure."""
BANDWIDTH = 0.5
"""Of the densities of skew, as in the paper."""
FEW = 20
"""Neurons of a layer and member from which a density is drawn; fewer are marked one by one."""
LAST = 4
"""Layers whose densities are shown, the last ones."""


@style()
def trends_by_layer(layers: pd.DataFrame, neurons: pd.DataFrame, model: str, kurtosis: float) -> Figure:
    """Show how kurtosis and skew over the vocabulary develop over depth, and which way the tails point.

    Args:
        layers: One row a layer of every member, with `vocab_kurt_p5` and so on.
        neurons: One row a neuron of every member, with `vocab_kurt, vocab_skew`.
        model: Member that names the figure.
        kurtosis: Neurons above it make the densities.

    Returns:
        Lines are means over the members, bands reach from the smallest member to the largest. Members of
        different depth are compared at the same relative depth. A layer with few neurons has a mark a neuron
        in place of a density.
    """
    members = layers["model"].nunique()
    figure = Figure(figsize=(12.6, 3.8))
    kurt, skew, density = figure.subplots(1, 3)
    for axes, column, what in ((kurt, "vocab_kurt", "kurtosis"), (skew, "vocab_skew", "skew")):
        for level, colour in zip(LEVELS, HUES, strict=False):
            values = _over_depth(layers.assign(shown=layers[f"{column}_p{level}"]))
            axes.plot(values.columns, values.mean(), color=colour, label=f"{level} %")
            axes.fill_between(
                values.columns, values.min(), values.max(), color=colour, alpha=0.25, linewidth=0
            )
        axes.set_ylabel(f"{what} of cos(W_U, w_out)")
        _layer_ticks(axes, layers)
    figure.legend(
        *kurt.get_legend_handles_labels(), title="percentile of a layer", ncols=5, loc="outside upper center"
    )
    own = neurons[neurons["vocab_kurt"] > kurtosis]
    last = layers.groupby("model")["layer"].max()
    before = last.reindex(own["model"]).to_numpy() - own["layer"].to_numpy()
    depth = int(last.max())
    for back in range(min(LAST, depth + 1))[::-1]:
        name = f"{depth - back}" if _same_depth(layers) else f"last − {back}" if back else "last"
        _density(density, own[before == back], HUES[back], name, members)
    _raise_floor(density)
    density.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    density.set_xlabel(f"skew of neurons with kurtosis above {kurtosis:g}")
    if density.collections:
        density.set_ylabel("density")
    if density.get_legend_handles_labels()[0]:
        title = f"layer: neurons a member\n(marks: a neuron each,\nwhere a member has < {FEW})"
        density.legend(title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0), alignment="left")
    else:
        why = f"no neuron has a kurtosis\nabove {kurtosis:g}"
        density.text(0.5, 0.5, why, transform=density.transAxes, ha="center", color=FAINT)
    who = model if members == 1 else f"{members} models"
    figure.suptitle(f"{who}: outputs and the vocabulary", x=0.01, ha="left")
    return figure


@style()
def classes_by_layer(layers: pd.DataFrame, model: str, null: Mapping[str, float]) -> Figure:
    """Show the share of each layer's neurons in each class.

    Args:
        layers: One row a layer of every member, with `neurons, invalid` and a count a class.
        model: Member that names the figure.
        null: Share of random directions in each class.

    Returns:
        One panel a class: lines are means over the members with bands from least to most, dashes are chance.
    """
    members = layers["model"].nunique()
    figure = Figure(figsize=(9.6, 3.2))
    panels = figure.subplots(1, len(COLOURS))
    for axes, (name, colour) in zip(panels, COLOURS.items(), strict=True):
        share = layers[name] / (layers["neurons"] - layers["invalid"])
        values = _over_depth(layers.assign(shown=share))
        axes.plot(values.columns, values.mean(), color=colour, marker="o", markersize=3.5)
        axes.fill_between(values.columns, values.min(), values.max(), color=colour, alpha=0.25, linewidth=0)
        axes.axhline(null[name], color=INK, linewidth=1, linestyle="--")
        axes.set_title(f"{name}\nrandom directions (dashed): {100 * null[name]:.2g} %", fontsize=9)
        axes.set_ylim(0, max(1.15 * float(share.max()), 1.15 * null[name], 0.002))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        _layer_ticks(axes, layers)
    panels[0].set_ylabel("neurons of a layer")
    who = model if members == 1 else f"{members} models, mean and range"
    figure.suptitle(who, x=0.01, ha="left")
    return figure


@style()
def examples(shown: Mapping[str, tuple[str, str, Float64[ndarray, "three _"]]]) -> Figure:
    """Show one neuron of each class: cosines of the tokens that its label explains, and of the others.

    Args:
        shown: By class: the neuron's name, its label, and edges, counts with the label, counts without.
    """
    figure = Figure(figsize=(3.6 * len(shown) + 0.4, 3.2))
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, (neuron, label, histogram)) in zip(panels, shown.items(), strict=True):
        edges, inside, outside = histogram[0], histogram[1, :-1], histogram[2, :-1]
        axes.stairs(outside, edges, fill=True, color=REST, label="other tokens")
        axes.stairs(inside, edges, fill=True, color=COLOURS[name], alpha=0.75, label=label)
        if inside.sum() < 0.1 * outside.sum():
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.7)
        axes.set_title(f"{name} neuron {neuron}")
        axes.set_xlabel("cos(W_U, w_out)")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 6 if axes.get_yscale() == "log" else high * 1.25)
        axes.legend(loc="upper left")
    panels[0].set_ylabel("tokens of the vocabulary")
    return figure


@style()
def next_token(before: pd.DataFrame, confidence: float) -> Figure:
    """Show whether neurons fire before the tokens that they are about.

    Args:
        before: One row a followed neuron and set, with `class, set, difference, low, high, auroc`.
        confidence: Level of the intervals.

    Returns:
        One panel a class and set of tokens; neurons by their standardised difference, with intervals.
    """
    sets = [name for name in ("label", "extreme") if (before["set"] == name).any()]
    classes = [name for name in COLOURS if (before["class"] == name).any()]
    figure = Figure(figsize=(3.3 * len(classes) + 0.6, 2.7 * len(sets) + 0.3))
    grid = figure.subplots(len(sets), len(classes), squeeze=False, sharey="row")
    for row, kind in enumerate(sets):
        for column, name in enumerate(classes):
            axes: Axes = grid[row][column]
            own = before[(before["set"] == kind) & (before["class"] == name)].dropna(subset=["difference"])
            own = own.sort_values("difference")
            place = np.arange(len(own))
            axes.vlines(place, own["low"], own["high"], color=COLOURS[name], alpha=0.35, linewidth=1)
            axes.plot(place, own["difference"], ".", color=COLOURS[name], markersize=4)
            axes.axhline(0, color=FAINT, linewidth=0.8)
            median = own["auroc"].median()
            certain = int((own["low"] > 0).sum())
            axes.set_title(f"{name}: {certain} of {len(own)} above 0\nmedian AUROC {median:.2f}", fontsize=9)
            axes.set_xticks([])
            if row == len(sets) - 1:
                axes.set_xlabel("neurons, sorted")
        what = "best label" if kind == "label" else "most extreme tokens"
        grid[row][0].set_ylabel(f"next token in {what}:\ndifference (d)")
    figure.suptitle(f"activation before a neuron's tokens, {confidence:.0%} intervals", x=0.01, ha="left")
    return figure


def _density(axes: Axes, own: pd.DataFrame, colour: str, layer: str, members: int) -> None:
    """Density of skew in one layer: mean over members, and their range; or a mark a neuron."""
    if own.empty:
        return
    if own["model"].value_counts().min() < FEW or own["model"].nunique() < members:
        label = f"{layer}: {len(own) / members:.1f}, marked"
        row = sum(line.get_marker() == "|" for line in axes.lines)
        place = np.full(len(own), -1.0 - row)  # rows below the axis, moved to their height at the end
        axes.plot(own["vocab_skew"], place, "|", color=colour, markersize=9, label=label)
        return
    reach = min(max(1.5, float(own["vocab_skew"].abs().max()) + 0.5), 8.0) if len(own) else 1.5
    grid = np.linspace(-reach, reach, 600)
    curves: list[Sequence[float]] = []
    for _, part in own.groupby("model"):
        values = part["vocab_skew"].to_numpy()
        if len(values) > 2 and values.std() > 0:
            curves.append(gaussian_kde(values, bw_method=BANDWIDTH)(grid))
    if not curves:
        return
    stack = np.stack(curves)
    axes.plot(grid, stack.mean(0), color=colour, label=f"{layer}: {len(own) / members:.1f}")
    axes.fill_between(grid, stack.min(0), stack.max(0), color=colour, alpha=0.25, linewidth=0)
    reach = max(reach, *(abs(limit) for limit in axes.get_xlim()))
    axes.set_xlim(-reach, reach)


def _raise_floor(axes: Axes) -> None:
    """Put rows of marks right below zero, however high the densities are."""
    marks = [line for line in axes.lines if line.get_marker() == "|"]
    curves = [np.max(line.get_ydata()) for line in axes.lines if line.get_marker() != "|"]
    top = 1.08 * max((float(value) for value in curves), default=1.0)
    for line in marks:
        rows = np.asarray(line.get_ydata(), dtype=np.float64)
        line.set_ydata(0.09 * top * rows)
    axes.set_ylim(-0.09 * top * (len(marks) + 0.5) if marks else 0, top)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top] if curves else [])


def _over_depth(layers: pd.DataFrame) -> pd.DataFrame:
    """Column `shown` with a row a member and a column a layer, or a relative depth where depths differ."""
    wide = layers.pivot_table(index="model", columns="layer", values="shown", dropna=False)
    last = layers.groupby("model")["layer"].max()
    if _same_depth(layers):
        return wide
    grid = np.linspace(0, 1, int(last.max()) + 1)
    rows = {}
    for model, own in layers.groupby("model"):
        own = own.sort_values("layer")
        depth = own["layer"].to_numpy() / max(int(last[model]), 1)
        rows[model] = np.interp(grid, depth, own["shown"].to_numpy(dtype=np.float64))
    return pd.DataFrame(rows, index=grid).T


def _same_depth(layers: pd.DataFrame) -> bool:
    last = layers.groupby("model")["layer"].max()
    return bool((last == last.iloc[0]).all())


def _layer_ticks(axes: Axes, layers: pd.DataFrame) -> None:
    if not _same_depth(layers):
        axes.set_xlabel("relative depth")
        return
    span = layer_span(layers["layer"].to_numpy())
    axes.set_xticks(layer_ticks(span))
    axes.set_xlabel("layer")
