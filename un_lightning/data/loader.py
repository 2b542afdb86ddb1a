"""Batches of blocks, as every analysis gets them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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


class BlockBatches(Dataset[Batch]):
    """Batches of some blocks, by index; the last one, and the last one before a cut, may be smaller.

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
        cuts: Sequence[int] = (),
    ) -> None:
        """Line the batches up.

        Args:
            store: Where the blocks lie.
            order: Which, in order.
            batch_size: Blocks of a batch.
            excluded: Tokens that do not count.
            eos: Token that ends a document.
            start: Batches to leave out.
            cuts: Places in the order that no batch may reach across.
        """
        self.store = store
        self.order = order
        self.excluded = np.array(excluded, dtype=np.int64)
        self.eos = eos
        self.start = start
        borders = [0, *cuts, len(order)]
        self.rows: list[slice] = []
        self.ends: list[int] = []
        """Batches up to each cut and up to the end, those before `start` included."""
        for first, last in pairwise(borders):
            self.rows += [slice(at, min(at + batch_size, last)) for at in range(first, last, batch_size)]
            self.ends.append(len(self.rows))

    def __len__(self) -> int:
        return max(0, len(self.rows) - self.start)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = self.order[self.rows[self.start + index]]
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
