"""Sums of groups of tokens, and means with errors that know that neighbouring tokens depend on each other.

A group is a stretch of whole blocks, so all but a few documents lie in one group. What is compared was
measured on the same tokens, so a difference is taken within each group before its error is estimated: the
errors are paired. Groups depend on the order of the stream alone, so the sums are the same for any batch
size and any number of ranks.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from un_lightning.stats.jackknife import standard_error
from un_lightning.stats.statistic import Statistic


class Estimate(NamedTuple):
    """Values with their standard errors over groups; NaN where there are fewer than two groups."""

    value: Float64[Tensor, "*shape"]
    error: Float64[Tensor, "*shape"]
    degrees: int
    """Degrees of freedom of the errors."""


class GroupedSums(Statistic):
    """Tokens of each group, and sums of some numbers of each token."""

    def __init__(self, groups: int, shape: tuple[int, ...], device: torch.device) -> None:
        """Make room.

        Args:
            groups: Number of groups.
            shape: Shape of the numbers of one token.
            device: Where they are added.
        """
        zeros = lambda *size: torch.zeros(groups, *size, dtype=torch.float64, device=device)
        super().__init__({"tokens": zeros(), "sum": zeros(*shape)})

    def add(self, groups: Int[Tensor, " tokens"], values: Float[Tensor, "... tokens"]) -> None:
        """Add some tokens.

        Args:
            groups: Group of each token.
            values: Their numbers, tokens last.
        """
        found, place = groups.unique(return_inverse=True)
        for index, group in enumerate(found.tolist()):
            own = values[..., place == index] if len(found) > 1 else values
            self.tensors["tokens"][group] += own.shape[-1]
            self.tensors["sum"][group] += own.sum(-1, dtype=torch.float64)

    def estimate(self, quantity: Callable[[Float64[Tensor, "..."]], Float64[Tensor, "..."]]) -> Estimate:
        """A function of the means over all tokens, and its error.

        Args:
            quantity: Takes means in the shape of one token's numbers, with any number of leading dimensions.

        Returns:
            The quantity of all tokens, with standard errors of the delete-one-group jackknife.
        """
        tokens, sums = self.tensors["tokens"], self.tensors["sum"]
        full = tokens > 0
        tokens, sums = tokens[full], sums[full]
        over = lambda total, count: total / count.view(-1, *[1] * (sums.ndim - 1))
        whole = quantity(over(sums.sum(0, keepdim=True), tokens.sum()[None]))[0]
        without = quantity(over(sums.sum(0) - sums, tokens.sum() - tokens))
        flat = standard_error(whole.reshape(-1), without.reshape(len(tokens), -1), tokens)
        return Estimate(whole, flat.view_as(whole), max(len(tokens) - 1, 1))
