"""Jaccard similarity |A ∩ B| / |A ∪ B| of the sets of tokens at which two units are active (method B.1)."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import CoActivity, PairSums


def jaccard(
    activity: CoActivity, rows: slice, columns: slice, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "rows columns"]:
    """Similarities of a block, in [0, 1]; zero where neither unit is ever active."""
    together = activity.together[rows, columns].to(dtype)
    either = activity.left[rows, None].to(dtype) + activity.right[None, columns].to(dtype)
    return together.div_(either.sub_(together).clamp_(min=1))


def largest_jaccard(pair: PairSums) -> Float64[Tensor, " left"]:
    """Largest similarity of each row unit with any unit of the other model.

    Returns:
        NaN for units that are invalid or never active, and for all where the other model has no valid unit.

    Raises:
        ValueError: It was not counted how often units are active together.
    """
    if pair.activity is None:
        raise ValueError("Jaccard similarity needs the counts of units that are active together")
    own, valid = pair.left.moments.valid, pair.right.moments.valid
    largest = torch.full((len(own),), torch.nan, dtype=torch.float64, device=own.device)
    if valid.any():
        everything = slice(0, len(valid))
        for rows in pair.tiles():
            block = jaccard(pair.activity, rows, everything, pair.product.dtype)
            largest[rows] = block.masked_fill_(~valid, -torch.inf).amax(1).double()
    return largest.masked_fill_(~own | (pair.activity.left == 0), torch.nan)


register(
    Measure(
        name="jaccard",
        score=lambda pair: float(largest_jaccard(pair).nanmean()),
        symmetric=False,
        larger_is_more_similar=True,
        # A factor moves no activation across the threshold where that is zero, as it is by default.
        invariant_to=frozenset(
            {Transformation.permutation, Transformation.isotropic_scaling, Transformation.scaling}
        ),
        source="Gurnee et al. 2024, code",
    )
)
