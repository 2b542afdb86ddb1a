"""Figures of the correlation analysis: how far neurons have partners in other models, and where."""

from math import sqrt

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from un_lightning.figures.layer_axis import figure_width, layer_span, layer_ticks, mark_absent, set_layers
from un_lightning.figures.quantile_boxes import CAPTION, legend_patch, quantile_boxes
from un_lightning.figures.style import (
    BASELINE,
    EMPTY,
    EXCESS,
    FAINT,
    INK,
    MARK,
    MATCH,
    SEQUENTIAL,
    panels,
    style,
)


_MAX_LAYERS_WITH_NUMBERS = 12
_NORMAL_975 = 1.959964
"""97.5 % quantile of the normal distribution."""


@style()
def max_correlation_by_layer(neurons: pd.DataFrame) -> Figure:
    """Compare, layer by layer, the best correlation of every neuron with its baseline.

    Args:
        neurons: One row a neuron of one model, with `model, layer, mean_corr, mean_baseline`: means over the
            other models of the neuron's maximum correlation there. NaN where a neuron is invalid.

    Returns:
        Nested quantile boxes, two a layer; a layer without a valid neuron has none.

    Raises:
        ValueError: The table holds neurons of several models, or none.
    """
    model, layers = _model_and_layers(neurons)
    figure, (axes,) = panels(figure_width(len(layers)), 3.6)
    layer_of = _column(neurons, "layer")
    correlation, baseline = _column(neurons, "mean_corr"), _column(neurons, "mean_baseline")
    for layer in layers:
        here = layer_of == layer
        quantile_boxes(axes, layer - 0.2, baseline[here], width=0.36, colour=BASELINE)
        quantile_boxes(axes, layer + 0.2, correlation[here], width=0.36, colour=MATCH)
        if not np.isfinite(correlation[here]).any():
            mark_absent(axes, layer)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_ylabel("max correlation\n(mean over the other models)")
    set_layers(axes, layers, model)
    handles = [legend_patch("baseline", BASELINE), legend_patch("neurons", MATCH)]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, title=CAPTION, alignment="left")
    return figure


@style()
def excess_distribution(neurons: pd.DataFrame, threshold: float) -> Figure:
    """Show how correlation, baseline and their difference are distributed over the neurons of a model.

    Args:
        neurons: One row a neuron of one model, with `model, layer, valid, mean_corr, mean_baseline,
            excess_corr, universal`. NaN where a neuron is invalid.
        threshold: Excess correlation above which a neuron is universal.

    Returns:
        Densities over the valid neurons: on the left correlation and baseline, on the right the excess with
        the threshold and the number of universal neurons, as a percentage of all neurons.

    Raises:
        ValueError: The table holds neurons of several models, or none.
    """
    model, _ = _model_and_layers(neurons)
    correlation, baseline = _column(neurons, "mean_corr"), _column(neurons, "mean_baseline")
    figure, (left, right) = panels(8.4, 3.3, columns=2)
    _densities(left, {"baseline": baseline, "neurons": correlation})
    left.set_xlabel("max correlation (mean over the other models)")
    left.set_ylabel(f"density, neurons of {model}")
    if left.get_legend_handles_labels()[0]:
        left.legend()
    _densities(right, {"excess": _column(neurons, "excess_corr")})
    right.set_xlabel("excess correlation")
    right.axvline(threshold, color=MARK, linestyle="--", linewidth=1.2)
    count, total = np.count_nonzero(_column(neurons, "universal")), len(neurons)
    invalid = total - np.count_nonzero(_column(neurons, "valid"))
    share = f"{count:,} of {total:,} neurons ({100 * count / total:.2f} %)"
    right.set_title(f"excess > {threshold:g}: {share}", color=MARK, fontsize=9)
    if invalid:
        left.set_title(f"{invalid:,} neurons without a correlation are not shown", color=FAINT, fontsize=9)
    return figure


@style()
def universal_by_layer(neurons: pd.DataFrame, threshold: float) -> Figure:
    """Show how many neurons of each layer are universal.

    Args:
        neurons: One row a neuron of one model, with `model, layer, valid, universal` and, where errors over
            text are known, `excess_low, excess_high`.
        threshold: Excess correlation above which a neuron is universal.

    Returns:
        Bars: percentage of all neurons of the layer, and the count over each bar; a layer without a valid
        neuron has none. The interval is that of the text: from the neurons whose whole interval is above
        the threshold to those whose interval reaches above it. Without errors over text it is Wilson's,
        which takes the neurons for a sample.

    Raises:
        ValueError: The table holds neurons of several models, or none.
    """
    model, layers = _model_and_layers(neurons)
    figure, (axes,) = panels(figure_width(len(layers)), 3.3)
    layer_of, valid = _column(neurons, "layer"), _column(neurons, "valid")
    present = np.unique(layer_of[valid])
    for layer in set(layers) - set(present):
        mark_absent(axes, layer)
    totals = np.array([np.count_nonzero(layer_of == layer) for layer in present])
    universal = layer_of[_column(neurons, "universal")]
    counts = np.array([np.count_nonzero(universal == layer) for layer in present])
    percent = 100 * counts / totals
    over_text = {"excess_low", "excess_high"} <= {*neurons.columns} and neurons["excess_high"].notna().any()
    if over_text:
        sure = _column(neurons, "excess_low") > threshold
        high = _column(neurons, "excess_high")
        possible = (high > threshold) | (np.isnan(high) & _column(neurons, "universal"))
        shares = [100 * np.array([layer_of[part] == layer for layer in present]).sum(1) / totals
                  for part in (sure, possible)]  # fmt: skip
        lows, highs = np.minimum(shares[0], percent), np.maximum(shares[1], percent)
        what = "line: surely to possibly above (over text)"
    else:
        bounds = [
            wilson_interval(int(count), int(total)) for count, total in zip(counts, totals, strict=True)
        ]
        lows, highs = 100 * np.array(bounds).reshape(-1, 2).T
        what = "interval: 95 % (Wilson, over neurons)"
    axes.bar(present, percent, width=0.72, color=EXCESS)
    reach = np.stack([percent - lows, highs - percent])
    axes.errorbar(present, percent, yerr=reach.clip(0), fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    many = len(layers) > len(layer_ticks(layers))
    for layer, count, high in zip(present, counts, highs, strict=True):
        axes.annotate(
            f"{count:,}",
            (layer, high),
            xytext=(0, 3),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="bottom",
            fontsize=8,
            rotation=90 if many else 0,
        )
    axes.set_ylim(0, 1.18 * highs.max(initial=0) or 1)
    axes.set_ylabel(f"neurons with excess > {threshold:g}\n(% of the layer)")
    axes.set_title(f"over each bar: number of neurons\n{what}", fontsize=8)
    set_layers(axes, layers, model)
    return figure


@style()
def layer_match(match: pd.DataFrame) -> Figure:
    """Show in which layers of the other models the best partners of each layer's neurons lie.

    Args:
        match: `layer, match_layer, fraction`: the fraction of the neurons of `layer` whose best partner lies
            in `match_layer`, a mean over the other models. A pair that is left out is zero.

    Returns:
        A heat map in percent, one row a layer, grey where a layer has no fractions.

    Raises:
        ValueError: The table is empty, or holds a pair of layers twice.
    """
    if match.empty:
        raise ValueError("there are no fractions to draw")
    layers, partners = layer_span(_column(match, "layer")), layer_span(_column(match, "match_layer"))
    known = match.dropna(subset=["fraction"])
    if known.duplicated(["layer", "match_layer"]).any():
        raise ValueError("the table holds a pair of layers twice: average over the other models first")
    rows = _column(known, "layer").astype(int) - layers.start
    columns = _column(known, "match_layer").astype(int) - partners.start
    percent = np.full((len(layers), len(partners)), np.nan)
    percent[rows] = 0
    percent[rows, columns] = 100 * _column(known, "fraction")
    largest = max(len(layers), len(partners))
    size = 2.0 + (0.36 * largest if largest <= _MAX_LAYERS_WITH_NUMBERS else 4.3)
    figure, (axes,) = panels(size + 0.9, size)
    axes.set_facecolor(EMPTY)
    edges = [np.arange(span.start, span.stop + 1) - 0.5 for span in (partners, layers)]
    top = np.nanmax(percent, initial=0) or 100
    mesh = axes.pcolormesh(*edges, np.ma.masked_invalid(percent), cmap=SEQUENTIAL, vmin=0, vmax=top)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    if largest <= _MAX_LAYERS_WITH_NUMBERS:
        _write_numbers(axes, percent, layers.start, partners.start)
    axes.set_xticks(layer_ticks(partners))
    axes.set_yticks(layer_ticks(layers))
    axes.set_xlabel("layer of the best partner")
    axes.set_ylabel("layer of the neuron")
    figure.colorbar(mesh, ax=axes, label="% of the layer's neurons", shrink=0.8)
    return figure


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927), which also holds near 0 and 1.

    Args:
        count: How many of `total`.
        total: At least 1.

    Returns:
        Lower and upper bound of the share, between 0 and 1.
    """
    share, square = count / total, _NORMAL_975**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    reach = _NORMAL_975 * sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _model_and_layers(neurons: pd.DataFrame) -> tuple[str, range]:
    models = np.unique(_column(neurons, "model").astype(str))
    if len(models) != 1:
        raise ValueError(f"the figure shows the neurons of one model, not of {len(models)}: {list(models)}")
    return str(models[0]), layer_span(_column(neurons, "layer"))


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return np.asarray(table[name])


def _densities(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    """Draw histograms of equal bins and area 1, in the colour of their name."""
    colours = {"baseline": BASELINE, "neurons": MATCH, "excess": EXCESS}
    present = {name: column[np.isfinite(column)] for name, column in columns.items()}
    together = np.concatenate(list(present.values()))
    if len(together) == 0:
        axes.text(0.5, 0.5, "no valid neurons", transform=axes.transAxes, ha="center", color=FAINT)
        return
    bins = int(np.clip(np.sqrt(len(together) / len(present)), 10, 100))
    edges = np.histogram_bin_edges(together, bins)
    for name, values in present.items():
        heights, _ = np.histogram(values, edges, density=True)
        axes.stairs(heights, edges, fill=True, color=colours[name], alpha=0.25)
        axes.stairs(heights, edges, color=colours[name], linewidth=1.6, label=name)
    axes.set_ylim(bottom=0)


def _write_numbers(axes: Axes, percent: np.ndarray, first_row: int, first_column: int) -> None:
    largest = np.nanmax(percent, initial=0)
    for (row, column), value in np.ndenumerate(percent):
        if np.isfinite(value):
            colour = "white" if value > 0.6 * largest else INK
            place = (column + first_column, row + first_row)
            axes.text(*place, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
