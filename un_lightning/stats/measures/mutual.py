"""Mutual nearest neighbours: pairs of units that choose each other (method J.4; Dravid et al. 2023)."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import PairSums


def mutual(forward: Int[Tensor, "left k"], backward: Int[Tensor, "right m"]) -> Bool[Tensor, " left"]:
    """Whether any of a unit's nearest units of the other model has the unit among its own nearest.

    Args:
        forward: Nearest units of the other model, by flat index; -1 for none.
        backward: The same of the other model's units.
    """
    unit = torch.arange(len(forward), device=forward.device)[:, None]
    found = torch.zeros(len(forward), dtype=torch.bool, device=forward.device)
    for partner in forward.unbind(1):  # one rank at a time: left · m comparisons exist, not left · k · m
        found |= ((backward[partner.clamp(min=0)] == unit) & (partner >= 0)[:, None]).any(1)
    return found


def nearest(pair: PairSums) -> tuple[Int[Tensor, "left 1"], Int[Tensor, "right 1"]]:
    """The most correlated partner of each unit of both models; -1 for invalid units."""
    found = []
    for side in (pair, pair.swapped):
        valid = side.right.moments.valid
        index = torch.full((len(side.product), 1), -1, device=valid.device)
        if valid.any():
            everything = slice(0, len(valid))
            for rows in side.tiles():
                block = side.correlation(rows, everything).masked_fill_(~valid, -torch.inf)
                index[rows] = block.argmax(1, keepdim=True)
        found.append(index.masked_fill_(~side.left.moments.valid[:, None], -1))
    return found[0], found[1]


def _score(pair: PairSums) -> float:
    """Mutual pairs as a share of the most that there could be."""
    most = min(int(side.moments.valid.sum()) for side in (pair.left, pair.right))
    return float(mutual(*nearest(pair)).sum()) / most if most else torch.nan


register(
    Measure(
        name="mutual",
        score=_score,
        symmetric=True,
        larger_is_more_similar=True,
        invariant_to=frozenset(
            {
                Transformation.permutation,
                Transformation.isotropic_scaling,
                Transformation.scaling,
                Transformation.shift,
            }
        ),
        source="Dravid et al. 2023",
    )
)
