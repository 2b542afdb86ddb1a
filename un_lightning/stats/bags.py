"""Tokens that belong together, and sums over them without a loop."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Bags(NamedTuple):
    """The tokens of a batch, those of one group put together: equal tokens, or equal positions."""

    where: Int[Tensor, " tokens"]
    """Index of each token in the batch, sorted by group."""
    group: Int[Tensor, " tokens"]
    """The groups of those tokens."""
    starts: Int[Tensor, " bags"]
    """Where each bag begins in `where`."""
    groups: Int[Tensor, " bags"]
    """The group of each bag, ascending; groups without tokens have none."""

    @classmethod
    def of(cls, groups: Int[Tensor, " tokens"], where: Int[Tensor, " tokens"]) -> "Bags":
        """Put tokens together.

        Args:
            groups: Group of each token.
            where: Its index in the batch.
        """
        group, order = groups.sort(stable=True)
        bags, sizes = group.unique_consecutive(return_counts=True)
        return cls(where[order], group, sizes.cumsum(0) - sizes, bags)

    def sums(self, values: Float[Tensor, "batch units"]) -> Float[Tensor, "bags units"]:
        """Sum of each bag, in the type of the values of all tokens of the batch."""
        return torch.nn.functional.embedding_bag(self.where, values, self.starts, mode="sum")
