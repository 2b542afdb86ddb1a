"""Moments and activation frequency of every unit, exactly and in groups of tokens (method C.1, C.2)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from un_lightning.stats.statistic import Statistic
from un_lightning.stats.unit_sums import RELATIVE_RESOLUTION


class UnitShape(NamedTuple):
    """The distribution of every unit's value over tokens; NaN where a number does not exist."""

    tokens: Int64[Tensor, " units"]
    """How many were counted."""
    mean: Float64[Tensor, " units"]
    var: Float64[Tensor, " units"]
    """Population variance."""
    skew: Float64[Tensor, " units"]
    """E[z³] of the standardised value."""
    kurt: Float64[Tensor, " units"]
    """E[z⁴] of the standardised value: 3 for a Gaussian."""
    frequency: Float64[Tensor, " units"]
    """Share of the tokens at which the unit fires; NaN where firing was not counted."""
    valid: Bool[Tensor, " units"]
    """False for units that are constant, were ever NaN or infinite, or never counted."""


class Moments(Statistic):
    """Σx, …, Σxⁿ of shifted values in float64, and how often each unit fires, for each group of tokens.

    With the shift fixed before the pass, the sums of disjoint sets of tokens add up to those of their union,
    and no digits are lost to a mean that is large beside the deviation. At most a few thousand tokens are
    summed in float32 at a time, so nothing of [tokens, units] is ever float64.
    """

    def __init__(
        self, groups: int, units: int, device: torch.device, order: int = 4, firing: bool = True
    ) -> None:
        """Allocate.

        Args:
            groups: Groups of tokens that are kept apart.
            units: Number of units.
            device: Where the sums are.
            order: Highest power: 2 for the variance, 4 for the kurtosis.
            firing: Count how often each unit fires.
        """
        zeros = lambda dtype: torch.zeros(groups, units, dtype=dtype, device=device)
        sums = {f"power{power}": zeros(torch.float64) for power in range(1, order + 1)}
        if firing:
            sums["fired"] = zeros(torch.float64)
        super().__init__({"count": zeros(torch.int64), **sums})
        self.order = order
        self._scratch = torch.empty(0, device=device)

    def add(
        self,
        group: int,
        columns: slice,
        values: Float[Tensor, "tokens units"],
        fired: Float[Tensor, "tokens units"] | None = None,
    ) -> None:
        """Add tokens of one group.

        Args:
            group: Their group.
            columns: Which units the values are of.
            values: Values less the shift.
            fired: 1 where a unit fires and 0 elsewhere, if firing is counted.
        """
        tensors = self.tensors
        tensors["count"][group, columns] += len(values)
        tensors["power1"][group, columns] += values.sum(0)
        if self._scratch.numel() < values.numel() or self._scratch.dtype != values.dtype:
            self._scratch = torch.empty(values.numel(), dtype=values.dtype, device=values.device)
        power = self._scratch[: values.numel()].view_as(values)
        torch.mul(values, values, out=power)
        for exponent in range(2, self.order + 1):
            tensors[f"power{exponent}"][group, columns] += power.sum(0)
            if exponent < self.order:
                power.mul_(values)
        if fired is not None:
            tensors["fired"][group, columns] += fired.sum(0)

    def shape(self, shift: Float[Tensor, " units"], group: int | None = None) -> UnitShape:
        """Moments over one group.

        Args:
            shift: What was subtracted from each unit's values.
            group: The group; None takes all groups together.
        """
        chosen = slice(None) if group is None else slice(group, group + 1)
        total = {name: tensor[chosen].sum(0) for name, tensor in self.tensors.items()}
        count = total["count"].double()
        raw = [total[f"power{power}"] / count for power in range(1, self.order + 1)]
        mean, variance = raw[0], raw[1] - raw[0].square()
        level = shift.double().square() + raw[1]
        valid = torch.isfinite(variance) & (variance > level * RELATIVE_RESOLUTION**2)
        skew = kurt = torch.full_like(mean, torch.nan)
        if self.order == 4:
            third = raw[2] - 3 * mean * raw[1] + 2 * mean**3
            fourth = raw[3] - 4 * mean * raw[2] + 6 * mean**2 * raw[1] - 3 * mean**4
            skew = torch.where(valid, third / variance**1.5, torch.nan)
            kurt = torch.where(valid, fourth / variance**2, torch.nan)
        finite = torch.isfinite(variance)
        known = lambda value: torch.where(finite, value, torch.nan)
        variance = torch.where(valid, variance, 0.0)  # of a constant unit, only rounding is left
        fired = total.get("fired", torch.full_like(mean, torch.nan))
        return UnitShape(
            total["count"],
            known(mean + shift.double()),
            known(variance),
            skew,
            kurt,
            known(fired / count),
            valid,
        )
