"""The input type of the matrix products, chosen by the error that it makes on the pilot.

Rounding an activation to bfloat16 or TF32 moves a correlation, up or down with every token. As far as these
moves are independent, the error of a whole run is smaller than the pilot's by the square root of how much
longer it is; what two halves of the pilot have in common stays.
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
    for gemm in (Gemm.bfloat16, Gemm.tf32):
        if run_error(one, other, pilot, tokens, gemm) <= config.gemm_error:
            return gemm
    return Gemm.float32


def run_error(
    one: Float[Tensor, "tokens left"],
    other: Float[Tensor, "tokens right"],
    count: int,
    tokens: int,
    gemm: Gemm,
) -> float:
    """Largest change of a correlation to be expected of a whole run.

    Args:
        one: Shifted activations of the pilot, excluded tokens zero.
        other: The same of another model.
        count: Counted tokens of the pilot.
        tokens: Tokens of the whole run.
        gemm: The type.
    """
    whole = correlation_errors(one, other, count, gemm)
    middle = len(one) // 2
    halves = [
        correlation_errors(one[part], other[part], max(1, count // 2), gemm)
        for part in (slice(None, middle), slice(middle, None))
    ]
    # Independent errors of two halves have a product of mean zero.
    common = (halves[0] * halves[1]).mean() / whole.square().mean()
    stays = float(common.nan_to_num(0).clamp(0, 1))
    return float(whole.abs().max()) * math.sqrt(stays + (1 - stays) * min(1.0, count / tokens))


def correlation_errors(
    one: Float[Tensor, "tokens left"], other: Float[Tensor, "tokens right"], count: int, gemm: Gemm
) -> Float64[Tensor, "some right"]:
    """Changes of correlations when the inputs of the products are rounded, of some units with all others.

    Args:
        one: Shifted activations, excluded tokens zero.
        other: The same of another model.
        count: Counted tokens.
        gemm: The type.
    """
    one = one[:, :: max(1, one.shape[1] // ROWS)]
    changes = []
    for part in other.split(COLUMNS, dim=1):
        whole = one.double(), part.double()
        rounded = round_to(gemm, one).double(), round_to(gemm, part).double()
        # bfloat16 is the type of the buffer, which each unit's sums see, too; TF32 is the product's alone.
        seen = rounded if gemm is Gemm.bfloat16 else whole
        changes.append(_correlation(*rounded, *seen, count) - _correlation(*whole, *whole, count))
    return torch.cat(changes, dim=1)


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
