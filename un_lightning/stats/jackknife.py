"""Standard errors from leaving out one group of tokens at a time."""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor


class GroupSums(NamedTuple):
    """Sums of each group for some pairs of units; groups without tokens are left out."""

    tokens: Float64[Tensor, "groups ..."]
    """Of all pairs alike, or of each; 0 where a pair lacks a group."""
    left: Float64[Tensor, "groups pairs"]
    right: Float64[Tensor, "groups pairs"]
    left_squares: Float64[Tensor, "groups pairs"]
    right_squares: Float64[Tensor, "groups pairs"]
    product: Float64[Tensor, "groups pairs"]

    def total(self) -> "GroupSums":
        """All groups as one."""
        return GroupSums(*(part.sum(0, keepdim=True) for part in self))

    def without_each(self) -> "GroupSums":
        """Everything but one group, for each group."""
        return GroupSums(*(whole - part for whole, part in zip(self.total(), self, strict=True)))

    def some(self, groups: Tensor) -> "GroupSums":
        """The chosen groups."""
        return GroupSums(*(part[groups] for part in self))

    def correlation(self) -> Float64[Tensor, "groups pairs"]:
        """Pearson correlation of every pair within each group; NaN where a unit is constant there."""
        count = self.tokens[:, None] if self.tokens.ndim == 1 else self.tokens
        covariance = self.product - self.left * self.right / count
        left = self.left_squares - self.left**2 / count
        right = self.right_squares - self.right**2 / count
        return covariance / (left.clamp(min=0) * right.clamp(min=0)).sqrt()


def standard_error(
    whole: Float64[Tensor, " values"],
    without: Float64[Tensor, "groups values"],
    count: Float64[Tensor, "groups ..."],
) -> Float64[Tensor, " values"]:
    """Delete-one-group jackknife for groups of different size (Busing, Meijer & Van der Leeden 1999).

    Args:
        whole: The estimate from all tokens.
        without: The estimate without each group.
        count: Tokens of each group, for all values alike or for each; a value has no group where it is 0.

    Returns:
        Standard error of `whole`; NaN for fewer than two groups.
    """
    count = count[:, None] if count.ndim == 1 else count
    there = (count > 0).expand_as(without)
    groups = there.sum(0)
    weight = torch.where(count > 0, count.sum(0) / count, 1.0)
    pseudo = weight * whole - (weight - 1) * without
    centre = groups * whole - torch.where(there, (1 - 1 / weight) * without, 0.0).sum(0)
    square = (pseudo - centre) ** 2 / torch.where(there & (weight > 1), weight - 1, torch.inf)
    error = (torch.where(there, square, 0.0).sum(0) / groups.clamp(min=1)).sqrt()
    return torch.where(groups < 2, torch.nan, error)
