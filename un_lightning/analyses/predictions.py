"""Which predictions of a batch count, and in which group of tokens their errors are estimated."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from un_lightning.data.loader import Batch


class Predictions(NamedTuple):
    """Predictions of the next token."""

    where: Int[Tensor, " predictions"]
    """Index in the batch (block · context + position) of the token at which each is made."""
    target: Int[Tensor, " predictions"]
    """The token that comes next."""
    group: Int[Tensor, " predictions"]


def predictions(batch: Batch, groups: Int[Tensor, " blocks"], rows: slice = slice(None)) -> Predictions:
    """Take the predictions of which both the token that makes them and the token that comes next count.

    Args:
        batch: Some blocks.
        groups: Group of each block of the store.
        rows: Blocks of the batch to take; `where` counts from the first of them.
    """
    tokens, counted = batch.tokens[rows], batch.counted[rows]
    both = torch.zeros_like(counted)
    both[:, :-1] = counted[:, :-1] & counted[:, 1:]
    where = both.flatten().nonzero().squeeze(1)
    block = where // counted.shape[1]
    return Predictions(where, tokens.flatten()[where + 1], groups[batch.blocks[rows][block]])


def edited_positions(
    tokens: Int[Tensor, "batch position"], spare_bos: bool
) -> Bool[Tensor, "batch position"]:
    """Positions at which activations are changed: all, but for the first of each block where it is spared.

    The first token of a block is its BOS, on which attention rests when it has nothing to do; its
    activations are unlike all others, and changing them would change every later token through attention.
    """
    where = torch.ones_like(tokens, dtype=torch.bool)
    if spare_bos:
        where[:, 0] = False
    return where
