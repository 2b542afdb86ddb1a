"""Universal neurons against the rest, after the paper's Figures 3 and 14."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from un_lightning.figures.layer_axis import figure_width, layer_span, set_layers
from un_lightning.figures.log_axis import logarithmic
from un_lightning.figures.quantile_boxes import CAPTION, legend_patch, quantile_boxes
from un_lightning.figures.style import HUES, INK, REST, UNIVERSAL, style


LABELS = {
    "sparsity": "activation\nfrequency",
    "mean": "activation\nmean",
    "skew": "activation\nskew",
    "kurt": "activation\nkurtosis",
    "input_bias": "input\nbias",
    "in_out_sim": "cos($w_{in}$, $w_{out}$)",
    "l2_penalty": "$L_2$\npenalty",
    "vocab_kurt": "$W_U$\nkurtosis",
    "vocab_skew": "$W_U$\nskew",
}
"""What figures call the columns."""
PERCENTILES = (
    "sparsity", "mean", "skew", "kurt", "input_bias", "in_out_sim", "l2_penalty", "vocab_kurt"
)  # fmt: skip
"""Columns of Figure 3, in its order."""
BY_LAYER = ("vocab_kurt", "vocab_skew", "in_out_sim", "l2_penalty", "sparsity", "skew", "kurt")
"""Columns of Figure 14, in its order."""
_GROUPS = {1: ("universal", UNIVERSAL), 0: ("others", REST)}
_LOGARITHMIC = ("vocab_kurt", "kurt")
_FEW = 8
"""Neurons that are drawn one by one, for they have no quantiles to speak of."""


@style()
def percentiles(percentiles: Mapping[str, Mapping[str, Float64[ndarray, " universal"]]]) -> Figure:
    """Show where universal neurons stand among the neurons of their layers (Figure 3).

    Args:
        percentiles: By model and column, the percentiles of its universal neurons, 0 to 100. A model that
            lacks a column has no box there.

    Returns:
        Boxes by column (dots where a model has fewer than 8), with a hue a model; the dashed line is
        the median of all neurons.
    """
    columns = [name for name in PERCENTILES if any(name in own for own in percentiles.values())]
    figure = Figure(figsize=(max(6.0, 1.5 + 1.15 * len(columns)), 3.9))
    axes = figure.subplots()
    width = 0.8 / len(percentiles)
    for place, own in enumerate(percentiles.values()):
        for index, column in enumerate(columns):
            at = index + (place - (len(percentiles) - 1) / 2) * width
            values = own.get(column, np.empty(0))
            _box(axes, at, values, 0.88 * width, HUES[place % len(HUES)])
    axes.axhline(50, color=INK, linestyle="--", linewidth=0.8)
    axes.set_xlim(-0.55, len(columns) - 0.45)
    axes.set_ylim(-2, 102)
    axes.set_xticks(range(len(columns)), [LABELS[name] for name in columns])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("percentile in its layer")
    handles = [
        legend_patch(f"{model} ({_count(own)} universal)", HUES[place % len(HUES)])
        for place, (model, own) in enumerate(percentiles.items())
    ]
    sizes = [int(np.isfinite(values).sum()) for own in percentiles.values() for values in own.values()]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(3, len(handles)),
        title=f"{_caption(sizes)}\ndashed line: median of all neurons",
        alignment="left",
    )
    return figure


@style()
def properties_by_layer(table: pd.DataFrame, model: str) -> Figure:
    """Compare universal neurons with the rest, layer by layer (Figure 14).

    Args:
        table: One row a neuron with `layer`, `group` (1 universal, 0 rest, other values are left out) and
            some of the columns `BY_LAYER`.
        model: Name of the model.

    Returns:
        One panel a column; the axis spans 99.5 % of the values, and every dot, kurtosis on a logarithmic
        scale. How many values lie beyond the axis is written in the panel.

    Raises:
        ValueError: The table has none of the columns.
    """
    columns = [name for name in BY_LAYER if name in table and np.isfinite(table[name]).any()]
    if not columns:
        raise ValueError(f"the table has none of the columns {', '.join(BY_LAYER)}")
    groups = {label: style for label, style in _GROUPS.items() if (table["group"] == label).any()}
    layers = layer_span(table["layer"].to_numpy())
    figure = Figure(figsize=(max(6.0, figure_width(len(layers))), 0.9 + 1.45 * len(columns)))
    panels = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    layer_of, group = table["layer"].to_numpy(), table["group"].to_numpy()
    sizes: list[int] = []
    for axes, column in zip(panels, columns, strict=True):
        values = table[column].to_numpy(dtype=np.float64)
        dots: list[float] = []
        for layer in layers:
            for place, (label, (_, colour)) in enumerate(groups.items()):
                here = values[(layer_of == layer) & (group == label)]
                here = here[np.isfinite(here)]
                sizes.append(len(here))
                dots += here.tolist() if len(here) < _FEW else []
                shift = 0.4 * (place - (len(groups) - 1) / 2)
                _box(axes, layer + shift, here, 0.36, colour)
        shown = values[np.isfinite(values) & (group >= 0)]
        low, high = np.quantile(shown, [0.0025, 0.9975])
        low, high = float(min(low, *dots, high)), float(max(high, *dots, low))
        if column in _LOGARITHMIC and low > 0:
            logarithmic(axes, 0.9 * low, 1.1 * high)
        else:
            margin = 0.06 * (high - low or 1)
            axes.set_ylim(low - margin, high + margin)
        beyond = int(((shown < axes.get_ylim()[0]) | (shown > axes.get_ylim()[1])).sum())
        if beyond:
            axes.set_title(
                f"{beyond:,} of {len(shown):,} values lie beyond the axis", fontsize=8, loc="right"
            )
        axes.set_ylabel(LABELS[column], fontsize=9)
        set_layers(axes, layers, model)
        axes.label_outer()
    figure.align_ylabels(panels)
    handles = [
        legend_patch(f"{np.count_nonzero(group == label):,} {name}", colour)
        for label, (name, colour) in groups.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, title=_caption(sizes), alignment="left")
    return figure


def _box(axes: Axes, at: float, values: Float64[ndarray, " neurons"], width: float, colour: str) -> None:
    present = values[np.isfinite(values)]
    if len(present) >= _FEW:
        quantile_boxes(axes, at, present, width=width, colour=colour)
    elif len(present):
        axes.plot(
            np.full(len(present), at), present, "o",
            color=colour, markersize=5, markeredgecolor=INK, markeredgewidth=0.6,
        )  # fmt: skip


def _caption(sizes: Iterable[int]) -> str:
    """Explains what is drawn, and only that."""
    kinds = {size >= _FEW for size in sizes if size}
    dots = f"dots: each neuron, where there are fewer than {_FEW}"
    return "\n".join(text for text, has in ((CAPTION, True in kinds), (dots, False in kinds)) if has)


def _count(own: Mapping[str, ndarray]) -> str:
    return f"{max((int(np.isfinite(values).sum()) for values in own.values()), default=0):,}"
