"""Sums over groups of batches, read off running sums: what the error of a correlation is estimated from.

No second accumulator is needed. When a group of batches is over, the running sums are read out, for all
units in one dimension and for a few candidate pairs in two; a group's own sums are the difference of two
readings.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class UnitReadings(Statistic):
    """Running count, Σv and Σv² of one model's units at the end of each group.

    Every rank has its own groups and fills its own part, so that adding up over ranks collects them.
    """

    def __init__(self, ranks: int, groups: int, units: int, rank: int, device: torch.device) -> None:
        zeros = lambda *shape: torch.zeros(ranks, groups, *shape, dtype=torch.float64, device=device)
        super().__init__({"count": zeros(), "sum": zeros(units), "squares": zeros(units)})
        self.rank = rank

    def read(self, group: int, count: int, sums: dict[str, Tensor]) -> None:
        """Note the running sums at the end of a group; later groups start from the same values."""
        self.tensors["count"][self.rank, group:] = count
        self.tensors["sum"][self.rank, group:] = sums["sum"]
        self.tensors["squares"][self.rank, group:] = sums["squares"]


class Aligned(NamedTuple):
    """Candidates that every rank with any tokens followed, and their readings."""

    candidates: Int[Tensor, "units candidates"]
    """Those of the first such rank."""
    everywhere: Float[Tensor, "units candidates"]
    """1 for candidates that all ranks followed, 0 for others."""
    running: Float[Tensor, "ranks groups units candidates"]
    """Running sums of every rank in that order; zero where a rank did not follow."""


class PairReadings(Statistic):
    """Running Σ a b of each unit with its few candidate partners at the end of each group."""

    def __init__(
        self, ranks: int, groups: int, units: int, candidates: int, rank: int, device: torch.device
    ) -> None:
        super().__init__(
            {
                "candidates": torch.zeros(ranks, units, candidates, dtype=torch.int64, device=device),
                "chosen": torch.zeros(ranks, dtype=torch.int64, device=device),
                "product": torch.zeros(ranks, groups, units, candidates, device=device),
            }
        )
        self.rank = rank

    def choose(self, candidates: Int[Tensor, "units candidates"]) -> None:
        """Fix this rank's candidates, once."""
        self.tensors["candidates"][self.rank] = candidates
        self.tensors["chosen"][self.rank] = 1

    def read(self, group: int, product: Float[Tensor, "units partners"]) -> None:
        """Note the running sums of the candidates at the end of a group."""
        own = product.gather(1, self.tensors["candidates"][self.rank])
        self.tensors["product"][self.rank, group:] = own

    @property
    def width(self) -> int:
        """Candidates of each unit."""
        return self.tensors["candidates"].shape[2]

    def aligned(self) -> Aligned:
        """What all ranks followed, after their parts are collected."""
        ranks = self.tensors["chosen"].nonzero().flatten().tolist()
        names = self.tensors["candidates"]
        first = names[ranks[0]]
        everywhere = torch.ones_like(first, dtype=torch.float64)
        products = torch.zeros_like(self.tensors["product"], dtype=torch.float64)
        for rank in ranks:
            same = first[:, :, None] == names[rank][:, None, :]
            everywhere *= same.any(2)
            place = same.to(torch.int8).argmax(2)
            for group, reading in enumerate(self.tensors["product"][rank]):
                products[rank, group] = reading.gather(1, place)
        return Aligned(first, everywhere, products * everywhere)


def own_sums(running: Float[Tensor, "ranks groups ..."]) -> Float[Tensor, "both ..."]:
    """The groups' own sums from running sums, all ranks' groups in one dimension."""
    before = torch.zeros_like(running)
    before[:, 1:] = running[:, :-1]
    return (running - before).flatten(0, 1)
