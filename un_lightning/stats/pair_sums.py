"""Everything that one pass adds up about two models, and the blocks that measures take from it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int32
from torch import Tensor

from un_lightning.stats.correlation import centred
from un_lightning.stats.unit_sums import UnitMoments


class ModelSums(NamedTuple):
    """What one model contributes to a pair."""

    moments: UnitMoments
    """Of the shifted activations."""
    shift: Float[Tensor, " units"]
    """What was subtracted from each unit before it was added."""
    layers: tuple[slice, ...]
    """Flat indices of each layer's units."""
    grams: tuple[Float[Tensor, "width width"], ...] = ()
    """Σ v vᵀ of shifted activations within each layer; empty where no measure needs them."""
    full_gram: Float[Tensor, "units units"] | None = None
    """Σ v vᵀ over the units of all layers, where it was asked for."""

    @property
    def mean(self) -> Float64[Tensor, " units"]:
        """Mean of each unit as the model computes it, with its shift."""
        return self.moments.mean + self.shift.double()


class CoActivity(NamedTuple):
    """How often units are active together."""

    together: Int32[Tensor, "left right"]
    """Tokens at which both units of a pair are active."""
    left: Float64[Tensor, " left"]
    """Tokens at which each row unit is active."""
    right: Float64[Tensor, " right"]

    @property
    def swapped(self) -> "CoActivity":
        """The same seen from the other model."""
        return CoActivity(self.together.T, self.right, self.left)


class PairSums(NamedTuple):
    """The sums of two models over the same tokens."""

    product: Float[Tensor, "left right"]
    """Σ a bᵀ of shifted activations."""
    tokens: int
    """Counted tokens."""
    left: ModelSums
    right: ModelSums
    tile: int = 4096
    """Rows of any matrix over all pairs of units that exist at a time."""
    activity: CoActivity | None = None
    """Where it was asked for."""

    @property
    def swapped(self) -> "PairSums":
        """The same sums seen from the other model; nothing is copied."""
        activity = None if self.activity is None else self.activity.swapped
        return PairSums(self.product.T, self.tokens, self.right, self.left, self.tile, activity)

    def tiles(self, within: slice | None = None) -> list[slice]:
        """Rows to walk over, `tile` at a time.

        Args:
            within: The rows of one layer; all rows by default.
        """
        first, last = (within.start, within.stop) if within else (0, len(self.product))
        return [slice(start, min(start + self.tile, last)) for start in range(first, last, self.tile)]

    def covariance(self, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """Cov(a, b) / σ_a of a block; zero where a unit is invalid."""
        left, right = moments_of(self.left.moments, rows), moments_of(self.right.moments, columns)
        return centred(self.product[rows, columns], self.tokens, left, right)

    def correlation(self, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """Pearson correlations of a block, in [-1, 1]; zero where a unit is invalid."""
        right = moments_of(self.right.moments, columns)
        scale = torch.where(right.valid, 1 / right.deviation, 0.0).to(self.product.dtype)
        return self.covariance(rows, columns).mul_(scale).clamp_(-1, 1)


def moments_of(moments: UnitMoments, units: slice) -> UnitMoments:
    """The moments of some of the units."""
    return UnitMoments(moments.mean[units], moments.deviation[units], moments.valid[units])


def layer_covariance(
    gram: Float[Tensor, "width width"],
    count: int,
    mean: Float64[Tensor, " width"],
    valid: Bool[Tensor, " width"],
) -> Float64[Tensor, "width width"]:
    """Covariance within a layer from its sum of products; zero in the rows and columns of invalid units.

    Args:
        gram: Σ v vᵀ of shifted activations.
        count: Counted tokens.
        mean: Mean of the shifted activations.
        valid: Units that can be correlated.
    """
    keep = valid[:, None] & valid[None, :]
    covariance = torch.where(keep, gram.double() / count, 0.0)
    centre = torch.where(valid, mean, 0.0)
    return covariance.sub_(torch.outer(centre, centre))
