"""The text of a training, held on the device: which blocks a member reads at a step is arithmetic."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int32, Int64
from numpy import ndarray
from torch import Tensor, nn

from un_lightning.data.store import Store


READ_AT_ONCE = 65_536
"""Blocks that are copied from the store at a time."""


def training_order(available: int, needed: int, seed: int) -> Int64[ndarray, " needed"]:
    """Seeded permutations of all blocks, one after another, until there are `needed`."""
    generator = np.random.default_rng(seed)
    epochs = math.ceil(needed / available)
    return np.concatenate([generator.permutation(available) for _ in range(epochs)])[:needed].astype(np.int64)


def all_tokens(store: Store) -> Int32[Tensor, "block position"]:
    """All blocks of a store, copied into memory."""
    tokens = np.empty((store.blocks, store.context), dtype=np.int32)
    for start in range(0, store.blocks, READ_AT_ONCE):
        rows = np.arange(start, min(start + READ_AT_ONCE, store.blocks))
        tokens[rows] = store.read(rows)
    return torch.from_numpy(tokens)


class Blocks(nn.Module):
    """Training and held-out text as buffers, so that they move to the device with the models.

    A step then needs nothing from the host but its number. The buffers are in no checkpoint: text and
    order follow from the config.
    """

    def __init__(
        self,
        training: Int32[Tensor, "block position"],
        held_out: Int32[Tensor, "held_out position"],
        seeds: range,
        steps: int,
        batch_size: int,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        orders = [training_order(len(training), steps * batch_size, seed) for seed in seeds]
        order = torch.from_numpy(np.stack(orders).astype(np.int32))
        self.train_tokens: Tensor
        self.register_buffer("train_tokens", training, persistent=False)
        self.order: Tensor
        self.register_buffer("order", order, persistent=False)
        self.held_out_tokens: Tensor
        self.register_buffer("held_out_tokens", held_out, persistent=False)

    def batch(self, member: int, step: int) -> Int32[Tensor, "batch position"]:
        """What a member reads at a step."""
        start = step * self.batch_size
        return self.train_tokens.index_select(0, self.order[member, start : start + self.batch_size])

    def held_out_batch(self, start: int) -> Int32[Tensor, "batch position"]:
        """Held-out blocks from `start` on."""
        return self.held_out_tokens[start : start + self.batch_size]

    def held_out_starts(self) -> list[int]:
        """The first block of each held-out batch."""
        return list(range(0, len(self.held_out_tokens), self.batch_size))


class FromStep:
    """The numbers of a training's steps, from a step on.

    Its length is that of the whole training: Lightning counts the steps of an interrupted epoch on from
    the checkpoint and expects the loader to go on there too.
    """

    def __init__(self, start: int, steps: int) -> None:
        self.start, self.steps = start, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.steps))

    def state_dict(self) -> dict[str, int]:
        """Nothing, for `start` says all; without it Lightning warns that a resumed training is unreliable."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing is to be restored."""
