"""Figures of the activations analysis: what the neurons of one model do on text."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter

from un_lightning.figures.profiles import CAPTION as CAPTION_OF_PROFILES
from un_lightning.figures.profiles import FIRES_LABEL, MEAN_LABEL, profile
from un_lightning.figures.quantile_boxes import CAPTION, legend_patch, quantile_boxes
from un_lightning.figures.style import FAINT, INK, MARK, MATCH, style


_PANELS = {
    "mean": "mean pre-activation",
    "var": "variance",
    "skew": "skew",
    "kurt": "kurtosis",
    "sparsity": "activation frequency",
    "eta2_token": "variance by token (η²)",
    "eta2_position": "variance by position (η²)",
}
_GAUSSIAN = {"skew": 0.0, "kurt": 3.0}
_SHARES = ("sparsity", "eta2_token", "eta2_position")
_MAX_LAYERS_WITH_TICKS = 12
_COLUMNS = 4


@style()
def statistics_by_layer(neurons: pd.DataFrame) -> Figure:
    """Show how each statistic is distributed over the neurons of every layer.

    Args:
        neurons: One row a neuron of one model, with `model, layer` and the columns of the panels, of which
            `eta2_token` may be absent. NaN where a number does not exist.

    Returns:
        One panel a statistic, nested quantile boxes by layer; dashed lines are the values of a Gaussian.
    """
    model, layers = str(neurons["model"].iloc[0]), np.unique(np.asarray(neurons["layer"]))
    columns = {name: label for name, label in _PANELS.items() if name in neurons.columns}
    figure, grid = _grid(2, _COLUMNS, width=2.5 + 0.04 * max(0, len(layers) - 12), height=2.5)
    for axes, (name, label) in zip(grid, columns.items(), strict=False):
        values = np.asarray(neurons[name], dtype=np.float64)
        for place, layer in enumerate(layers):
            here = values[np.asarray(neurons["layer"]) == layer]
            quantile_boxes(axes, float(place), here, width=0.8, colour=MATCH)
        axes.set_title(label)
        axes.set_xlim(-0.6, len(layers) - 0.4)
        step = 1 if len(layers) <= _MAX_LAYERS_WITH_TICKS else -(-len(layers) // 6)
        axes.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
        if name in _GAUSSIAN:
            axes.axhline(_GAUSSIAN[name], color=MARK, linestyle="--", linewidth=1)
        if name == "kurt" and axes.get_ylim()[1] > 10 * _GAUSSIAN["kurt"]:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(ScalarFormatter())
        if name in _SHARES:
            axes.set_ylim(0, max(axes.get_ylim()[1], 0.01))
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    for axes in grid[len(columns) :]:
        axes.set_axis_off()
    for axes in grid[len(columns) - _COLUMNS : len(columns)]:
        axes.set_xlabel(f"layer of {model}")
    caption = CAPTION.replace("; ", "\n")
    handles = [
        legend_patch(f"neurons of a layer\n{caption}", MATCH),
        Line2D([], [], color=MARK, linestyle="--", linewidth=1, label="Gaussian"),
    ]
    grid[-1].legend(handles=handles, loc="center left", fontsize=8, labelspacing=1.2)
    return figure


@style()
def neuron_histograms(neurons: pd.DataFrame, histograms: pd.DataFrame, panels: int = 8) -> Figure:
    """Show the pre-activations of the neurons with the largest kurtosis, beside Gaussians.

    Args:
        neurons: One row a neuron, with `model, layer, neuron, mean, var, kurt, sparsity`.
        histograms: The same rows, with `low, high` and `counts`: below the range, its bins, above it.
        panels: How many neurons.

    Returns:
        One panel a neuron: density on a logarithmic scale, a Gaussian of the same mean and variance, zero.
    """
    ranked = neurons["kurt"].dropna().sort_values(ascending=False, kind="stable").index[:panels]
    rows = max(1, -(-len(ranked) // _COLUMNS))
    figure, grid = _grid(rows, _COLUMNS, width=2.5, height=2.3)
    for axes, index in zip(grid, ranked, strict=False):
        neuron, histogram = neurons.loc[index], histograms.loc[index]
        _density(axes, neuron, histogram)
        about = f"kurt {neuron['kurt']:.3g}, fires {_percent(neuron['sparsity'])}"
        axes.set_title(f"{_name(neuron)}\n{about}", fontsize=9)
    for axes in grid[len(ranked) :]:
        axes.set_axis_off()
    for axes in grid[max(0, len(ranked) - _COLUMNS) : len(ranked)]:
        axes.set_xlabel("pre-activation")
    for axes in grid[: len(ranked) : _COLUMNS]:
        axes.set_ylabel("density")
    handles = [
        legend_patch(f"neurons of {neurons['model'].iloc[0]} with the largest kurtosis", MATCH),
        Line2D([], [], color=INK, linewidth=1, label="Gaussian of the same mean and variance"),
        Line2D([], [], color=MARK, linestyle="--", linewidth=1, label="zero, above which they fire"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


@style()
def position_profiles(neurons: pd.DataFrame, positions: pd.DataFrame, panels: int = 6) -> Figure:
    """Show what the most positional neurons do along a block.

    Args:
        neurons: One row a neuron, with `model`.
        positions: Neurons by falling `eta2_position`, with `layer, neuron` and, by position, `mean` and
            `sparsity`; NaN where no token counts. With `sd` there is a band.
        panels: How many neurons.

    Returns:
        One column a neuron: mean pre-activation above, share of the tokens at which it fires below.
    """
    shown = positions.head(panels)
    columns = max(1, len(shown))
    figure, grid = _grid(2, columns, width=1.9 if columns > 1 else 4.0, height=1.8)
    for place, (_, neuron) in enumerate(shown.iterrows()):
        above, below = grid[place], grid[place + columns]
        profile(above, below, neuron, MATCH)
        above.set_title(f"{_name(neuron)}   η² {neuron['eta2_position']:.2f}", fontsize=9)
        if place:
            below.set_yticklabels([])
    if shown.empty:
        for axes in grid:
            axes.set_axis_off()
        grid[0].text(0.5, 0.5, "no neuron has a profile", ha="center", color=FAINT)
        return figure
    grid[0].set_ylabel(MEAN_LABEL)
    grid[columns].set_ylabel(FIRES_LABEL)
    if "sd" in shown:
        figure.suptitle(CAPTION_OF_PROFILES if columns > 3 else CAPTION_OF_PROFILES.replace("; ", "\n"),
                        fontsize=9, x=0.01, ha="left")  # fmt: skip
    figure.supxlabel(f"position in the block, neurons of {neurons['model'].iloc[0]}", fontsize=10)
    return figure


def _grid(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure outside pyplot with panels in rows, in inches a panel."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4))
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]


def _density(axes: Axes, neuron: pd.Series, histogram: pd.Series) -> None:
    counts = np.asarray(histogram["counts"], dtype=np.float64)
    edges = np.linspace(histogram["low"], histogram["high"], len(counts) - 1)
    inside = counts[1:-1]
    filled = np.flatnonzero(inside)
    if len(filled) == 0:
        axes.text(0.5, 0.5, "outside its range", transform=axes.transAxes, ha="center", color=FAINT)
        return
    span = slice(int(filled[0]), int(filled[-1]) + 1)
    density = inside / counts.sum() / (edges[1] - edges[0])
    lowest = density[filled].min()
    shown = edges[span.start : span.stop + 1]
    axes.stairs(density[span], shown, baseline=lowest / 3, fill=True, color=MATCH, alpha=0.6)
    line = np.linspace(shown[0], shown[-1], 200)
    variance = neuron["var"]
    normal = np.exp(-((line - neuron["mean"]) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    axes.plot(line, np.where(normal > lowest / 3, normal, np.nan), color=INK, linewidth=1)
    axes.axvline(0, color=MARK, linestyle="--", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylim(lowest / 3, 2 * density.max())
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _name(neuron: pd.Series) -> str:
    return f"L{neuron['layer']}.{neuron['neuron']}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"
