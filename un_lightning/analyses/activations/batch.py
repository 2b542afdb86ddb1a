"""How a batch is taken apart before it is added: counted tokens, by subset."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from un_lightning.data.loader import Batch


class Piece(NamedTuple):
    """Counted tokens of one group."""

    group: int
    where: Int[Tensor, " tokens"]
    """Index of each token in the batch (block · context + position)."""
    place: Int[Tensor, " tokens"]
    """Its place in the store (block · context + position)."""
    thinned: Int[Tensor, " chosen"] | None
    """Indices in the piece of those tokens that histograms count; None for all."""


def pieces(batch: Batch, by_subset: bool, size: int, share: float) -> list[Piece]:
    """Take a batch apart.

    Args:
        batch: The batch.
        by_subset: Whether subsets are groups; otherwise everything is group 0.
        size: Most tokens of a piece.
        share: Share of the tokens that histograms count.
    """
    context = batch.tokens.shape[1]
    where = batch.counted.flatten().nonzero().squeeze(1)
    block = where // context
    group = batch.subset[block] if by_subset else torch.zeros_like(block)
    group, order = group.sort(stable=True)
    where, block = where[order], block[order]
    place = batch.blocks[block] * context + where % context
    chosen = None if share == 1 else choose(place, share)
    found = []
    start = 0
    for own, count in enumerate(group.bincount().tolist()):
        for first in range(start, start + count, size):
            span = slice(first, min(first + size, start + count))
            thinned = None if chosen is None else chosen[span].nonzero().squeeze(1)
            found.append(Piece(own, where[span], place[span], thinned))
        start += count
    return found


def choose(places: Int[Tensor, " tokens"], share: float) -> Bool[Tensor, " tokens"]:
    """A fixed share of all tokens, by a hash of their places (the finalizer of MurmurHash3)."""
    mask = 0xFFFFFFFF
    mixed = places & mask
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & mask
    mixed = mixed ^ (mixed >> 16)
    return mixed < int(share * (mask + 1))
