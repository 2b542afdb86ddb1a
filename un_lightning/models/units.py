"""The units of one model at one site, and their numbers."""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from jaxtyping import Integer

from un_lightning.config import Site


@dataclass(frozen=True)
class Units:
    """Units in the order of the layers: the flat index is the layer's offset plus the index in the layer."""

    model: str
    """Name of the model in its family."""
    site: Site
    widths: tuple[int, ...]
    """Units of each layer."""

    @property
    def count(self) -> int:
        """Units of all layers together."""
        return sum(self.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Flat index of each layer's first unit."""
        return tuple(accumulate(self.widths, initial=0))[:-1]

    def layer_slices(self) -> list[slice]:
        """Flat indices of each layer's units."""
        return [slice(start, start + width) for start, width in zip(self.offsets, self.widths, strict=True)]

    def locate(
        self, flat: Integer[np.ndarray, "*shape"]
    ) -> tuple[Integer[np.ndarray, "*shape"], Integer[np.ndarray, "*shape"]]:
        """Find the layer of each unit and the unit's index in that layer.

        Args:
            flat: Flat indices, of any shape.

        Returns:
            Layers and indices in the layer, each int64 in the shape of `flat`.

        Raises:
            IndexError: An index is negative or at least `count`.
        """
        flat = np.asarray(flat, dtype=np.int64)
        outside = flat[(flat < 0) | (flat >= self.count)]
        if outside.size:
            raise IndexError(f"unit {outside.flat[0]} is outside the {self.count} of '{self.model}'")
        offsets = np.array(self.offsets, dtype=np.int64)
        layer = np.asarray(np.searchsorted(offsets, flat, side="right") - 1)
        return layer, np.asarray(flat - offsets[layer])

    def label(self, flat: int) -> str:
        """Name a unit by layer and index, such as `L3.217`.

        Args:
            flat: Flat index.

        Raises:
            IndexError: The index is negative or at least `count`.
        """
        layer, neuron = self.locate(np.array(flat))
        return f"L{layer}.{neuron}"
