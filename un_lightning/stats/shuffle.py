"""Tokens of a block in another order, which depends on the block alone.

The order comes from a hash of each token's place, not from a generator that runs along the stream: so it is
the same for every batch size, order of blocks, number of ranks and device.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


_FIRST, _SECOND, _THIRD = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""The constants of splitmix64 as signed numbers: its increment and its two factors."""


def shuffled_tokens(
    counted: Bool[Tensor, "block position"], blocks: Int[Tensor, " block"], seed: int
) -> Int[Tensor, " token"]:
    """Where the activation of each token of a batch is taken from.

    Counted tokens change places with counted tokens of the same block, all orders being equally likely;
    excluded tokens stay. So no sum over the tokens of one model changes.

    Args:
        counted: False where a token is excluded.
        blocks: Index of each block in the store.
        seed: Seed of this draw.

    Returns:
        Flat indices (block · context + position), without a look at any value on the host.
    """
    context = counted.shape[1]
    positions = torch.arange(context, device=counted.device)
    keys = _hashed((blocks[:, None] * context + positions) ^ _scrambled(seed))
    # Both orders have the counted tokens of a block first, in their own and in a random order.
    last = torch.iinfo(torch.int64).max
    own = (~counted).long().argsort(dim=1, stable=True)
    random = keys.masked_fill(~counted, last).argsort(dim=1, stable=True)
    source = torch.empty_like(own).scatter_(1, own, random)
    return (source + torch.arange(len(counted), device=counted.device)[:, None] * context).flatten()


def _scrambled(seed: int) -> int:
    """A hash of the seed, so that near seeds have nothing in common; made where no device waits for it."""
    return int(_hashed(torch.tensor([seed], dtype=torch.int64)))


def _hashed(numbers: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Steele, Lea and Flood's splitmix64: a bijection of 64-bit numbers that looks random."""
    mixed = numbers + _FIRST
    mixed = (mixed ^ _shifted(mixed, 30)) * _SECOND
    mixed = (mixed ^ _shifted(mixed, 27)) * _THIRD
    return mixed ^ _shifted(mixed, 31)


def _shifted(numbers: Int[Tensor, "*shape"], bits: int) -> Int[Tensor, "*shape"]:
    """Shift to the right and fill with zeros; torch fills with the sign."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)
