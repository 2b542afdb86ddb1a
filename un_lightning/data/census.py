"""What can be known about a run's tokens before any model reads them."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from un_lightning.data.datamodule import TokenBlocks


_BLOCKS = 4096
"""Blocks that are read at a time."""


def token_counts(data: TokenBlocks) -> Int64[ndarray, " vocabulary"]:
    """How often each token of the tokenizer comes in the blocks that a run will read, counted or not."""
    counts = np.zeros(max(data.tokenizer.get_vocab().values()) + 1, dtype=np.int64)
    for start in range(0, len(data.order), _BLOCKS):
        found = np.bincount(data.store.read(data.order[start : start + _BLOCKS]).ravel())
        if len(found) > len(counts):
            counts, found = found, counts
        counts[: len(found)] += found
    return counts


def seen_tokens(data: TokenBlocks) -> Int64[ndarray, " tokens"]:
    """Ids of the tokens that a run will count, ascending."""
    return np.setdiff1d(np.flatnonzero(token_counts(data)), data.excluded)


def draw_places(data: TokenBlocks, count: int, seed: int) -> Int64[ndarray, " places"]:
    """Draw tokens out of those that a run will count, without repeats.

    The draw depends on which blocks are read and on nothing else, neither on their order nor on ranks.

    Args:
        data: The tokens.
        count: How many to draw; fewer come where fewer than a quarter of the tokens count.
        seed: Seed of the draw.

    Returns:
        Places (block · context + position), ascending.
    """
    context = data.store.context
    blocks = np.sort(data.order)
    total = len(blocks) * context
    drawn = np.random.default_rng(seed).choice(total, min(total, 4 * count), replace=False)
    places = blocks[drawn // context] * context + drawn % context
    rows, row = np.unique(places // context, return_inverse=True)
    tokens = data.store.read(rows)[row, places % context]
    return np.sort(places[~np.isin(tokens, data.excluded)][:count])
