"""The largest correlation with units that are pure noise, without drawing the noise (method B.2).

The correlation of any activation with independent noise over n tokens follows t = ρ √((n-2) / (1-ρ²)), with
Student's distribution of n-2 degrees of freedom: exactly for Gaussian noise, and up to terms of order 1/√n
times both skewnesses for its GELU (docs/measures.md has figures). The largest of N independent ones is the
quantile of u^(1/N), u uniform.
"""

import numpy as np
import torch
from jaxtyping import Float64
from scipy.stats import t as student
from torch import Tensor


def largest_with_noise(rows: int, partners: int, count: int, seed: int) -> Float64[Tensor, " rows"]:
    """Draw the largest correlation of each row unit with independent noise units.

    Args:
        rows: Number of row units.
        partners: Number of noise units, as many as the other model has valid units.
        count: Counted tokens.
        seed: Seed of this draw.

    Returns:
        Correlations, on the CPU; NaN where there are no partners or fewer than three tokens.
    """
    if partners < 1 or count < 3:
        return torch.full((rows,), torch.nan, dtype=torch.float64)
    uniform = np.random.default_rng(seed).uniform(size=rows)
    # 1 - u^(1/N) without the loss of digits that a number next to one would bring.
    beyond = -np.expm1(np.log(uniform) / partners)
    value = student.isf(beyond, count - 2)
    return torch.from_numpy(value / np.sqrt(count - 2 + value**2))
