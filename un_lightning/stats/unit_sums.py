"""Sums and sums of squares of every unit."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


RELATIVE_RESOLUTION = 1e-6
"""A deviation smaller than this share of a unit's level is rounding, and the unit is constant."""


class UnitMoments(NamedTuple):
    """Mean and standard deviation of every unit, and whether they can be correlated."""

    mean: Float64[Tensor, " units"]
    """Mean of the shifted activation."""
    deviation: Float64[Tensor, " units"]
    valid: Bool[Tensor, " units"]
    """False for units that are constant or were ever NaN or infinite."""


class UnitSums(Statistic):
    """Σv and Σv² of shifted activations, in float64."""

    ROWS = 1024
    """Tokens squared at a time, so that the squares stay in the cache."""

    def __init__(self, units: int, device: torch.device) -> None:
        zeros = lambda: torch.zeros(units, dtype=torch.float64, device=device)
        super().__init__({"sum": zeros(), "squares": zeros()})
        self._scratch = torch.empty(0)

    def add(self, values: Float[Tensor, "tokens units"]) -> None:
        """Add a batch. A thousand tokens are summed in float32, those sums in float64."""
        wide = torch.float64 if values.dtype == torch.float64 else torch.float32
        if self._scratch.shape[1:] != values.shape[1:] or self._scratch.dtype != wide:
            self._scratch = torch.empty(self.ROWS, values.shape[1], dtype=wide, device=values.device)
        for part in values.split(self.ROWS):
            exact = part.to(wide)
            self.tensors["sum"] += exact.sum(0)
            self.tensors["squares"] += torch.mul(exact, exact, out=self._scratch[: len(part)]).sum(0)

    def moments(self, count: int, shift: Float[Tensor, " units"]) -> UnitMoments:
        """Mean and deviation over `count` tokens.

        Args:
            count: Counted tokens.
            shift: What was subtracted from each unit before it was added.
        """
        return moments_of_sums(self.tensors["sum"], self.tensors["squares"], count, shift)


def moments_of_sums(
    total: Float64[Tensor, " units"],
    squares: Float64[Tensor, " units"],
    count: int,
    shift: Float[Tensor, " units"],
) -> UnitMoments:
    """Mean and deviation from Σv and Σv² of `count` shifted tokens."""
    mean = total / count
    variance = squares / count - mean.square()
    level = shift.double().square() + squares / count
    finite = torch.isfinite(variance)
    valid = finite & (variance > level * RELATIVE_RESOLUTION**2)
    return UnitMoments(mean, variance.clamp(min=0).sqrt(), valid)
