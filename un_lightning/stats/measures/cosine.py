"""Cosine similarity of activations, without centring (method B.1).

The sums are of shifted activations; means and deviations give back what the shift took away:
E[v w] = Cov(v, w) + μ_v μ_w, so cos = (ρ σ_v σ_w + μ_v μ_w) / (rms_v rms_w) with rms² = σ² + μ².
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import ModelSums, PairSums


def cosine(pair: PairSums, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
    """Cosines of a block, in [-1, 1]; zero where a unit is invalid."""
    deviation_left, mean_left = _shares(pair.left, rows)
    deviation_right, mean_right = _shares(pair.right, columns)
    block = pair.correlation(rows, columns)
    dtype = block.dtype
    block.mul_(deviation_left.to(dtype)[:, None]).mul_(deviation_right.to(dtype))
    return block.addr_(mean_left.to(dtype), mean_right.to(dtype)).clamp_(-1, 1)


def largest_cosine(pair: PairSums) -> Float64[Tensor, " left"]:
    """Largest cosine of each row unit with any unit of the other model.

    Returns:
        NaN for invalid units, and for all where the other model has no valid unit.
    """
    valid = pair.right.moments.valid
    largest = torch.full((len(pair.product),), torch.nan, dtype=torch.float64, device=pair.product.device)
    if valid.any():
        everything = slice(0, len(valid))
        for rows in pair.tiles():
            block = cosine(pair, rows, everything).masked_fill_(~valid, -torch.inf)
            largest[rows] = block.amax(1).double()
    return largest.masked_fill_(~pair.left.moments.valid, torch.nan)


def _shares(model: ModelSums, units: slice) -> tuple[Float64[Tensor, " units"], Float64[Tensor, " units"]]:
    """σ/rms and μ/rms of each unit; zero for invalid units."""
    deviation, mean = model.moments.deviation[units], model.mean[units]
    scale = torch.where(model.moments.valid[units], torch.hypot(deviation, mean).reciprocal(), 0.0)
    clean = lambda share: torch.where(model.moments.valid[units], share, 0.0)
    return clean(deviation * scale), clean(mean * scale)


register(
    Measure(
        name="cosine",
        score=lambda pair: float(largest_cosine(pair).nanmean()),
        symmetric=False,
        larger_is_more_similar=True,
        invariant_to=frozenset(
            {Transformation.permutation, Transformation.isotropic_scaling, Transformation.scaling}
        ),
        source="Gurnee et al. 2024, code",
    )
)
