"""The units that an analysis reads, out of all units of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from un_lightning.config.activations import NEURON
from un_lightning.errors import UserError
from un_lightning.models.units import Units


@dataclass(frozen=True)
class Selection:
    """Chosen units in the order of layers and, within them, of neurons: column i is the i-th chosen unit."""

    model: str
    layer: Int[ndarray, " units"]
    """Layer of each chosen unit."""
    neuron: Int[ndarray, " units"]
    """Its index in that layer."""
    columns: dict[int, slice]
    """Columns of each layer that has chosen units."""
    whole: frozenset[int]
    """Layers that are taken whole."""

    @property
    def count(self) -> int:
        """Number of chosen units."""
        return len(self.layer)

    @property
    def widths(self) -> list[int]:
        """Chosen units of each layer that has some."""
        return [columns.stop - columns.start for columns in self.columns.values()]

    def take(self, layer: int, values: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens units"]:
        """The chosen units of a layer's activation."""
        if layer in self.whole:
            return values
        index = torch.from_numpy(self.neuron[self.columns[layer]]).to(values.device)
        return values.index_select(1, index)

    def label(self, column: int) -> str:
        """Name of a chosen unit, such as `L3.217`."""
        return f"L{self.layer[column]}.{self.neuron[column]}"


def select(units: Units, layers: Sequence[int] = (), neurons: Sequence[str] = ()) -> Selection:
    """Choose units of a model.

    Args:
        units: All of its units.
        layers: Layers to take whole; none takes all, unless neurons are named.
        neurons: Single units, such as `L3.217`.

    Raises:
        UserError: The model has no such layer or neuron.
    """
    depth = len(units.widths)
    parts = [NEURON.fullmatch(neuron) for neuron in neurons]
    named = {(int(part[1]), int(part[2])) for part in parts if part}
    for layer in (*layers, *(layer for layer, _ in named)):
        if layer >= depth:
            raise UserError(f"'{units.model}' has no layer {layer}: its layers are 0 to {depth - 1}")
    for layer, neuron in named:
        if neuron >= units.widths[layer]:
            last = units.widths[layer] - 1
            raise UserError(f"'{units.model}' has no neuron L{layer}.{neuron}: the last is L{layer}.{last}")
    if not named:
        chosen = set(layers) or range(depth)
        named = {(layer, neuron) for layer in chosen for neuron in range(units.widths[layer])}
    pairs = np.array(sorted(named), dtype=np.int64)
    layer = pairs[:, 0]
    present, first = np.unique(layer, return_index=True)
    bounds = [*first.tolist(), len(pairs)]
    columns = {int(own): slice(*span) for own, span in zip(present, pairwise(bounds), strict=True)}
    whole = {own for own, span in columns.items() if span.stop - span.start == units.widths[own]}
    return Selection(units.model, layer, pairs[:, 1], columns, frozenset(whole))
