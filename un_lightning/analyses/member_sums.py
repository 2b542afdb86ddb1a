"""What one model contributes to every pair that it is in."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from un_lightning.models.units import Units
from un_lightning.stats.unit_sums import UnitMoments


class MemberSums(NamedTuple):
    """Sums over the tokens of one pass."""

    units: Units
    moments: UnitMoments
    grams: list[Float[Tensor, "width width"]]
    """Σ v vᵀ of shifted activations within each layer; empty where nothing reads them."""
