"""The order in which blocks are read: arithmetic alone, the same set for any number of ranks."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from numpy import ndarray
from torch import Tensor
from torch.utils.data import Dataset

from un_lightning.data.store import Store


@dataclass(slots=True)
class Batch:
    """Some blocks, as every analysis gets them."""

    tokens: Int[Tensor, "block position"]
    counted: Bool[Tensor, "block position"]
    """False where the token is excluded: no statistic may count it."""
    skipped: Int[Tensor, " skipped"]
    """Flat indices (block · context + position) of the tokens that are not counted."""
    document: Int[Tensor, "block position"]
    """Document of each token; -1 at the BOS."""
    subset: Int[Tensor, " block"]
    """Index in the store's `subsets`."""
    blocks: Int[Tensor, " block"]
    """Index in the store."""
    count: int
    """Number of counted tokens, known without asking the device."""


NEIGHBOURS = 8
"""Blocks that stay together in the reading order, because they often share a document."""


def reading_order(available: int, needed: int, seed: int) -> Int64[ndarray, " needed"]:
    """The first `needed` of a seeded permutation of all blocks that keeps neighbours together.

    Tokens of one document are no independent observations. Runs of neighbouring blocks are permuted, not
    single ones, so that leaving out a stretch of the stream leaves out whole documents.
    """
    runs = np.random.default_rng(seed).permutation(-(-available // NEIGHBOURS))
    order = (runs[:, None] * NEIGHBOURS + np.arange(NEIGHBOURS)).reshape(-1)
    return order[order < available][:needed].astype(np.int64)


def share(order: Int64[ndarray, " blocks"], rank: int, world: int) -> Int64[ndarray, " own"]:
    """Every `world`-th run of neighbours from `rank` on: the shares of all ranks are the whole, once.

    Whole runs, so that no document is shared out: the groups of a jackknife would not be independent.
    """
    run = order // NEIGHBOURS
    place = np.cumsum(np.diff(run, prepend=run[:1]) != 0)
    return order[place % world == rank]


class BlockBatches(Dataset[Batch]):
    """Batches of `order`, by index; the last one may be smaller.

    A position in the stream is one integer, so going on after a stop needs no replay: `start` batches
    are left out.
    """

    def __init__(
        self,
        store: Store,
        order: Int64[ndarray, " blocks"],
        batch_size: int,
        excluded: tuple[int, ...],
        eos: int | None,
        start: int = 0,
    ) -> None:
        self.store = store
        self.order = order
        self.batch_size = batch_size
        self.excluded = np.array(excluded, dtype=np.int64)
        self.eos = eos
        self.start = start

    def __len__(self) -> int:
        return max(0, -(-len(self.order) // self.batch_size) - self.start)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = (self.start + index) * self.batch_size
        rows = self.order[first : first + self.batch_size]
        tokens = self.store.read(rows)
        counted = ~np.isin(tokens, self.excluded)
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(counted),
            torch.from_numpy(np.flatnonzero(~counted)),
            torch.from_numpy(self.store.documents(rows, tokens, self.eos)),
            torch.from_numpy(self.store.subset[rows]),
            torch.from_numpy(rows.copy()),
            int(counted.sum()),
        )
