"""The input type of the matrix products, chosen by the error that it makes on the pilot.

Rounding an activation to bfloat16 or TF32 moves a correlation, up or down with every token, so the error of a
whole run is smaller than the pilot's by the square root of how much longer it is.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from un_lightning.config import CorrelationConfig, Gemm
from un_lightning.stats.cross_product import round_to


ROWS = 512
"""Units of the row model, spread over all, whose correlations are looked at."""
COLUMNS = 4096
"""Units of the column model that are looked at together."""


def choose_gemm(
    config: CorrelationConfig,
    one: Float[Tensor, "tokens left"],
    other: Float[Tensor, "tokens right"],
    pilot: int,
    tokens: int,
) -> Gemm:
    """The fastest type whose error stays below `config.gemm_error`, where the config leaves the choice.

    Args:
        config: Its `gemm` decides unless it is `auto`.
        one: Shifted activations of the pilot, excluded tokens zero.
        other: The same of another model.
        pilot: Counted tokens of the pilot.
        tokens: Tokens of the whole run.
    """
    if config.gemm is not Gemm.auto:
        return config.gemm
    if one.device.type != "cuda" or one.dtype == torch.float64:
        return Gemm.float32
    shrinks = math.sqrt(min(1.0, pilot / tokens))
    for gemm in (Gemm.bfloat16, Gemm.tf32):
        if correlation_error(one, other, pilot, gemm) * shrinks <= config.gemm_error:
            return gemm
    return Gemm.float32


def correlation_error(
    one: Float[Tensor, "tokens left"], other: Float[Tensor, "tokens right"], count: int, gemm: Gemm
) -> float:
    """Largest change of a correlation when the inputs of the products are rounded.

    Args:
        one: Shifted activations, excluded tokens zero.
        other: The same of another model.
        count: Counted tokens.
        gemm: The type.
    """
    one = one[:, :: max(1, one.shape[1] // ROWS)]
    worst = 0.0
    for part in other.split(COLUMNS, dim=1):
        exact = _correlation(one.double(), part.double(), one.double(), part.double(), count)
        rounded = [round_to(gemm, values).double() for values in (one, part)]
        # bfloat16 is the type of the buffer, which each unit's sums see, too; TF32 is the product's alone.
        seen = rounded if gemm is Gemm.bfloat16 else [one.double(), part.double()]
        worst = max(worst, float((_correlation(*rounded, *seen, count) - exact).abs().max()))
    return worst


def _correlation(
    left: Float64[Tensor, "tokens left"],
    right: Float64[Tensor, "tokens right"],
    left_seen: Float64[Tensor, "tokens left"],
    right_seen: Float64[Tensor, "tokens right"],
    count: int,
) -> Float64[Tensor, "left right"]:
    """Correlations from products of some values and from moments of others; zero where there is none."""
    means = [values.sum(0) / count for values in (left_seen, right_seen)]
    scales = [
        (values.square().sum(0) / count - mean.square()).clamp(min=0).rsqrt().nan_to_num(0, 0, 0)
        for values, mean in zip((left_seen, right_seen), means, strict=True)
    ]
    covariance = (left.T @ right / count).nan_to_num(0, 0, 0) - torch.outer(*means).nan_to_num(0, 0, 0)
    return covariance * torch.outer(*scales)
