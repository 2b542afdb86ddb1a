"""The axis that most figures share: one place a layer."""

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes

from un_lightning.figures.style import FAINT


_MAX_LAYERS_WITH_TICKS = 24


def layer_span(layers: Shaped[np.ndarray, " rows"]) -> range:
    """All layers between the first and the last."""
    return range(int(layers.min()), int(layers.max()) + 1)


def layer_ticks(layers: range) -> range:
    """Layers that get a number on the axis."""
    return layers if len(layers) <= _MAX_LAYERS_WITH_TICKS else layers[::4]


def figure_width(layers: int) -> float:
    """Inches of a figure with one group a layer."""
    return min(max(4.8, 1.6 + 0.42 * layers), 11.0)


def set_layers(axes: Axes, layers: range, model: str) -> None:
    """Number the x-axis by the layers of a model."""
    axes.set_xlim(layers.start - 0.6, layers.stop - 0.4)
    axes.set_xticks(layer_ticks(layers))
    axes.set_xlabel(f"layer of {model}")


def mark_absent(axes: Axes, layer: int, why: str = "none valid") -> None:
    """Say that a layer has no values, where a gap could be taken for a zero."""
    place = axes.get_xaxis_transform()
    axes.text(layer, 0.03, why, transform=place, rotation=90, ha="center", color=FAINT, fontsize=8)
