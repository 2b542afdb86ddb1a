"""From sums to correlations, tile by tile (paper eq. 2)."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.stats.unit_sums import UnitMoments


def centred(
    product: Float[Tensor, "left right"], count: int, left: UnitMoments, right: UnitMoments
) -> Float[Tensor, "left right"]:
    """Cov(a, b) / σ_a of a tile, from its sum of products.

    Correlations with b divide this by σ_b; those with a rotation of b rotate it first. Rows and columns of
    invalid units are zero.
    """
    row_scale = torch.where(left.valid, 1 / left.deviation, 0.0)
    column_mask = right.valid
    clean = torch.where(left.valid[:, None] & column_mask[None, :], product, 0.0)
    clean.mul_((row_scale / count).to(clean.dtype)[:, None])
    mean_left = torch.where(left.valid, left.mean * row_scale, 0.0)
    mean_right = torch.where(column_mask, right.mean, 0.0)
    return clean.addr_(mean_left.to(clean.dtype), mean_right.to(clean.dtype), alpha=-1)


def correlation_tiles(
    product: Float[Tensor, "left right"], count: int, left: UnitMoments, right: UnitMoments, tile: int
) -> Iterator[tuple[slice, Float[Tensor, "rows right"], Float[Tensor, "rows right"]]]:
    """Walk over the correlation matrix of two models by blocks of rows.

    Args:
        product: Σ a bᵀ of shifted activations.
        count: Counted tokens.
        left: Moments of the row units.
        right: Moments of the column units.
        tile: Rows at a time; only so many rows of correlations ever exist.

    Yields:
        Rows, their correlations in [-1, 1] (zero where a unit is invalid) and Cov(a, b) / σ_a.
    """
    column_scale = torch.where(right.valid, 1 / right.deviation, 0.0).to(product.dtype)
    for start in range(0, len(product), tile):
        rows = slice(start, min(start + tile, len(product)))
        part = UnitMoments(left.mean[rows], left.deviation[rows], left.valid[rows])
        covariance = centred(product[rows], count, part, right)
        yield rows, (covariance * column_scale).clamp_(-1, 1), covariance
