"""Figures of the analysis of weights: how large, how directed and how connected a model's neurons are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy import ndarray

from un_lightning.figures.layer_axis import figure_width, layer_span, layer_ticks, set_layers
from un_lightning.figures.log_axis import logarithmic
from un_lightning.figures.quantile_boxes import CAPTION, legend_patch, quantile_boxes
from un_lightning.figures.style import DIVERGING, EMPTY, INPUT, MARK, OUTPUT, REST, style


@style()
def norms_by_layer(neurons: pd.DataFrame) -> Figure:
    """Show norms, bias and the angle between what a neuron reads and writes, layer by layer.

    Args:
        neurons: One row a neuron of one model, with `model, layer, w_in_norm, w_out_norm, input_bias,
            in_out_sim`.
    """
    layers = layer_span(neurons["layer"].to_numpy())
    figure, panels = _stack(len(layers), 3)
    _boxes(panels[0], neurons, {"w_in_norm": INPUT, "w_out_norm": OUTPUT})
    panels[0].set_ylabel("norm")
    panels[0].set_ylim(bottom=0)
    _boxes(panels[1], neurons, {"input_bias": INPUT})
    panels[1].set_ylabel("input bias")
    panels[1].axhline(0, color=MARK, linewidth=0.8, linestyle="--")
    _boxes(panels[2], neurons, {"in_out_sim": REST})
    panels[2].set_ylabel("cos(w_in, w_out)")
    panels[2].axhline(0, color=MARK, linewidth=0.8, linestyle="--")
    _finish(figure, panels, layers, neurons, {"w_in": INPUT, "w_out": OUTPUT})
    return figure


@style()
def vocabulary_by_layer(neurons: pd.DataFrame, null: float) -> Figure:
    """Show how few tokens a neuron promotes or suppresses: kurtosis and skew of cos(W_U, w_out).

    Args:
        neurons: One row a neuron of one model, with `model, layer, vocab_kurt, vocab_skew`.
        null: Kurtosis of random directions, which say nothing about single tokens.
    """
    layers = layer_span(neurons["layer"].to_numpy())
    figure, panels = _stack(len(layers), 2)
    _boxes(panels[0], neurons, {"vocab_kurt": OUTPUT})
    panels[0].axhline(null, color=MARK, linewidth=1, linestyle="--", label=f"random directions: {null:.2f}")
    low, high = panels[0].get_ylim()
    smallest = float(np.nanmin(neurons["vocab_kurt"])) if neurons["vocab_kurt"].notna().any() else null
    logarithmic(panels[0], 0.95 * max(low, min(smallest, null), 0.01), 1.3 * high)
    panels[0].legend(loc="upper left")
    panels[0].set_ylabel("kurtosis of\ncos(W_U, w_out)")
    _boxes(panels[1], neurons, {"vocab_skew": OUTPUT})
    panels[1].axhline(0, color=MARK, linewidth=0.8, linestyle="--")
    panels[1].set_ylabel("skew of\ncos(W_U, w_out)")
    _finish(figure, panels, layers, neurons, {})
    return figure


@style()
def neighbours_by_layer(neurons: pd.DataFrame, null: float) -> Figure:
    """Show how near the nearest other neuron of the model is, by what they read and by what they write.

    Args:
        neurons: One row a neuron of one model, with `model, layer, in_in_max, out_out_max`.
        null: The nearest of as many random directions.
    """
    layers = layer_span(neurons["layer"].to_numpy())
    figure, panels = _stack(len(layers), 1)
    _boxes(panels[0], neurons, {"in_in_max": INPUT, "out_out_max": OUTPUT})
    panels[0].axhline(null, color=MARK, linewidth=1, linestyle="--", label=f"random directions: {null:.2f}")
    panels[0].legend(loc="lower right")
    panels[0].set_ylim(0, 1)
    panels[0].set_ylabel("largest cosine with\nanother neuron")
    _finish(figure, panels, layers, neurons, {"w_in": INPUT, "w_out": OUTPUT})
    return figure


@style()
def head_composition(
    means: Mapping[str, Float[ndarray, "layers head_layers"]], null: float, model: str
) -> Figure:
    """Show which layers' neurons compose with which layers' heads.

    Args:
        means: Mean composition of the neurons of a layer with the heads of a layer, by kind; NaN where the
            one cannot reach the other.
        null: Composition of a random direction.
        model: Name of the model.

    Returns:
        Heat maps as multiples of `null`: blue below a random direction, red above.
    """
    size = len(next(iter(means.values())))
    width = 1.6 * len(means) + 0.12 * size * len(means) + 1.2
    figure = Figure(figsize=(min(max(width, 8.4), 13.0), min(2.5 + 0.08 * size, 5.0)))
    ratios = {kind: values / null for kind, values in means.items()}
    norm = LogNorm(*_range(list(ratios.values())))
    row = figure.subplots(1, len(means), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (kind, ratio) in zip(row, ratios.items(), strict=True):
        edges = np.arange(size + 1) - 0.5
        axes.pcolormesh(edges, edges, np.ma.masked_invalid(ratio), cmap=DIVERGING, norm=norm)
        axes.set_facecolor(EMPTY)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.set_title(_KINDS[kind])
        axes.set_xticks(layer_ticks(range(size)))
        axes.set_yticks(layer_ticks(range(size)))
        axes.set_xlabel("layer of the head")
    row[0].invert_yaxis()
    row[0].set_ylabel("layer of the neuron")
    figure.suptitle(f"{model}: mean composition of neurons and heads", x=0.01, ha="left")
    bar = figure.colorbar(
        ScalarMappable(norm, DIVERGING), ax=list(row), label="random direction = 1", shrink=0.8
    )
    ticks = np.geomspace(float(norm.vmin or 1), float(norm.vmax or 1), 5)
    bar.ax.yaxis.set_major_locator(FixedLocator([*ticks]))
    bar.ax.yaxis.set_major_formatter("{x:.2f}")
    bar.ax.yaxis.set_minor_locator(NullLocator())
    return figure


_KINDS = {
    "q_comp": "neuron → query",
    "k_comp": "neuron → key",
    "v_comp": "neuron → value",
    "o_comp": "head → neuron",
}


def _range(values: Sequence[Float[ndarray, "layers head_layers"]]) -> tuple[float, float]:
    """Limits around 1, equally far on both sides of a logarithmic scale."""
    present = np.concatenate([value[np.isfinite(value) & (value > 0)] for value in values])
    reach = np.exp(np.abs(np.log(present)).max(initial=0.01))
    return float(1 / reach), float(reach)


def _stack(layers: int, rows: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(figure_width(layers), 0.9 + 2.2 * rows))
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def _boxes(axes: Axes, neurons: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """One box a layer and column, side by side."""
    layer_of = neurons["layer"].to_numpy()
    width = 0.72 / len(colours)
    for place, (column, colour) in enumerate(colours.items()):
        values = neurons[column].to_numpy(dtype=np.float64)
        shift = (place - (len(colours) - 1) / 2) * 1.1 * width
        for layer in np.unique(layer_of):
            quantile_boxes(axes, layer + shift, values[layer_of == layer], width=width, colour=colour)


def _finish(
    figure: Figure, panels: list[Axes], layers: range, neurons: pd.DataFrame, legend: Mapping[str, str]
) -> None:
    for axes in panels:
        set_layers(axes, layers, str(neurons["model"].iloc[0]))
        axes.label_outer()
    handles = [legend_patch(label, colour) for label, colour in legend.items()]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=max(1, len(handles)), title=CAPTION, alignment="left"
    )
