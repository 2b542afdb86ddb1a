"""What one model contributes to every pair that it is in."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from un_lightning.models.units import Units
from un_lightning.stats.pair_sums import moments_of
from un_lightning.stats.unit_sums import UnitMoments


class MemberSums(NamedTuple):
    """Sums over the tokens of one pass."""

    units: Units
    moments: UnitMoments
    grams: list[Float[Tensor, "width width"]]
    """Σ v vᵀ of shifted activations within each layer; empty where nothing reads them."""
    first_layer: int = 0
    """Which layer of the model the first one here is."""

    def part(self, layers: range) -> "MemberSums":
        """Some of the layers."""
        slices = self.units.layer_slices()
        units = Units(self.units.model, self.units.site, self.units.widths[layers.start : layers.stop])
        own = slice(slices[layers.start].start, slices[layers.stop - 1].stop)
        grams = self.grams[layers.start : layers.stop]
        return MemberSums(units, moments_of(self.moments, own), grams, self.first_layer + layers.start)
