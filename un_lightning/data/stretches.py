"""Stretches of blocks that hold whole documents, the order in which they are read, and groups of them.

Tokens of one document are no independent observations, so errors come from groups of whole documents, and a
rank reads whole documents. Documents are packed into blocks one behind the other, so that most borders of
blocks run through one. A stretch ends where the document that its border cuts lies almost wholly on one side.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from un_lightning.data.store import Store


LONGEST = 8
"""Blocks after which a stretch of short documents looks for its end; shorter where there are few blocks."""
STRETCHES = 256
"""Stretches that a store has at least if it has so many blocks, for groups to be made of."""
_ROWS = 1 << 14
"""Blocks that are looked at at a time."""


class Order(NamedTuple):
    """Blocks in the order in which they are read."""

    blocks: Int64[ndarray, " read"]
    """Index of each in the store."""
    stretch: Int64[ndarray, " read"]
    """Number of its stretch, counted along the order."""

    @property
    def borders(self) -> Int64[ndarray, " stretches"]:
        """Where each stretch begins."""
        return np.flatnonzero(np.diff(self.stretch, prepend=-1))


class Documents(NamedTuple):
    """Documents of a store, from the tokens behind each BOS."""

    first: Int64[ndarray, " blocks"]
    """Document at the beginning of each block."""
    last: Int64[ndarray, " blocks"]
    """Document at its end."""
    tokens: Int64[ndarray, " documents"]
    """Tokens of each document."""


def documents_of(store: Store, blocks: Int64[ndarray, " read"], eos: int | None) -> Documents:
    """Look at which documents some blocks hold.

    Args:
        store: The store. One without documents counts what EOS and block borders tell apart.
        blocks: Blocks to look at.
        eos: Token that ends a document.
    """
    first, last, counts = [], [], []
    total = np.zeros(0, dtype=np.int64)
    for start in range(0, len(blocks), _ROWS):
        rows = blocks[start : start + _ROWS]
        own = store.document.read(rows) if store.document else store.documents(rows, store.read(rows), eos)
        own = own[:, 1:]
        first.append(own[:, 0])
        last.append(own[:, -1])
        if store.document is None:  # none reaches beyond its block, and nobody asks for one by its number
            counts.append(np.unique(own, return_counts=True)[1])
            continue
        least, end = int(own.min()), int(own.max()) + 1
        if end > len(total):
            total = np.pad(total, (0, max(end, 2 * len(total)) - len(total)))
        total[least:end] += np.bincount(own.ravel() - least)  # chunks of a store hold few of its documents
    join = lambda parts: np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    return Documents(
        join(first), join(last), join(counts) if store.document is None else np.trim_zeros(total, "b")
    )


def effective_number(tokens: Int64[ndarray, " documents"]) -> float:
    """Kish's number of documents of one size that would tell as much: (Σ t)² / Σ t².

    Args:
        tokens: Tokens of each document; 0 where there is none.
    """
    squares = float(np.square(tokens.astype(np.float64)).sum())
    return float(tokens.sum()) ** 2 / squares if squares else 0.0


def find_stretches(store: Store, documents: Documents) -> Int64[ndarray, " blocks"]:
    """Number of the stretch of each block of a store.

    A stretch has some blocks of one subset. It ends at the border, among the next few, that cuts off the
    fewest tokens of the document that runs through it, and at none that cuts off more than half a block: at
    each end of a document one border is as near as that, so there are no more stretches than documents.

    Args:
        store: The store.
        documents: Of all its blocks.
    """
    if store.document is None:
        return np.arange(store.blocks)
    least = int(np.clip(store.blocks // STRETCHES, 1, LONGEST))
    found = np.empty(store.blocks, dtype=np.int64)
    number = 0
    for subset in range(len(store.subsets)):
        own = np.flatnonzero(store.subset == subset)
        if len(own) == 0:
            continue
        ends = _ends(_torn(store, documents, own), least, (store.context - 1) // 2)
        pieces = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
        found[own] = number + pieces
        number += len(ends)
    return found


def _torn(store: Store, documents: Documents, own: Int64[ndarray, " blocks"]) -> Int64[ndarray, " borders"]:
    """Tokens that a border between neighbours of a subset would cut off a document, on its shorter side."""
    left, right = own[:-1], own[1:]
    document = documents.first[right]
    before = store.offset[right]
    behind = documents.tokens[document] - before
    return np.where(documents.last[left] == document, np.minimum(before, behind), 0)


def _ends(torn: Int64[ndarray, " borders"], least: int, most: int) -> list[int]:
    """Where stretches end, counted in blocks; the last one ends with the subset."""
    blocks = len(torn) + 1
    near = np.flatnonzero(torn <= most)
    ends: list[int] = []
    start = 0
    while blocks - start > 2 * least:  # what is left is one stretch
        window = torn[start + least - 1 : start + 2 * least]
        if window.min() > most:  # inside of a long document: on to the first border that is near its end
            beyond = np.searchsorted(near, start + 2 * least)
            if beyond == len(near):
                break
            start = int(near[beyond]) + 1
        else:
            start += least + int(window.argmin())
        ends.append(start)
    return [*ends, blocks] if not ends or ends[-1] < blocks else ends


def reading_order(stretches: Int64[ndarray, " blocks"], needed: int, seed: int) -> Order:
    """The first `needed` blocks of a seeded permutation of whole stretches.

    Args:
        stretches: Number of the stretch of each block of the store.
        needed: Blocks to read.
        seed: Of the permutation.
    """
    count = int(stretches.max()) + 1 if len(stretches) else 0
    place = np.empty(count, dtype=np.int64)
    place[np.random.default_rng(seed).permutation(count)] = np.arange(count)
    blocks = np.argsort(place[stretches], kind="stable")[:needed].astype(np.int64)
    return Order(blocks, place[stretches[blocks]])


def group_numbers(order: Order, count: int) -> Int64[ndarray, " read"]:
    """Divide what is read into groups of whole stretches, of about as many blocks each.

    Args:
        order: What is read.
        count: How many groups at most; there are no more than stretches.

    Returns:
        Group of each block, from 0 on, in the order in which they are read.
    """
    return _even(order, min(count, len(order.borders)))


def share(order: Order, rank: int, world: int) -> slice:
    """The part of an order that a rank reads: whole stretches, and all ranks' parts are the whole, once."""
    owner = _even(order, world, relabel=False)
    return slice(*np.searchsorted(owner, [rank, rank + 1]).tolist())


def _even(order: Order, parts: int, relabel: bool = True) -> Int64[ndarray, " read"]:
    """Part of each block, whole stretches to the part in which their middle lies."""
    starts = order.borders
    lengths = np.diff(starts, append=len(order.blocks))
    middle = starts + lengths / 2
    part = np.minimum((middle * parts / max(len(order.blocks), 1)).astype(np.int64), parts - 1)
    if relabel:
        part = np.unique(part, return_inverse=True)[1]
    return np.repeat(part, lengths)
