"""Activations that are hard on sums: large offsets, heavy tails, dead and broken columns."""

from typing import NamedTuple

import numpy as np
import pytest
import torch


class Activations(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor
    widths_left: tuple[int, ...]
    widths_right: tuple[int, ...]


@pytest.fixture
def activations() -> Activations:
    """1,200 tokens of two models of 3 and 2 layers that share some directions."""
    generator = np.random.default_rng(7)
    shared = generator.standard_t(3, size=(1200, 12))
    left = generator.normal(size=(1200, 18)) * generator.lognormal(size=18)
    right = generator.normal(size=(1200, 16))
    left[:, :8] += shared[:, :8] * generator.lognormal(size=8)
    right[:, 4:12] += shared[:, :8]
    right[:, 12:] = np.maximum(right[:, 12:] - 1.5, 0)  # rarely active, as a GELU's output
    left += generator.normal(size=18) * 30  # means far from zero
    left[:, 5] = 4.25  # dead at a value that is exact in float32
    right[:, 3] = 0.1  # dead at a value that is not
    return Activations(torch.from_numpy(left).float(), torch.from_numpy(right).float(), (6, 6, 6), (8, 8))
