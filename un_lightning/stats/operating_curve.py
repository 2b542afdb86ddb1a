"""How well a threshold of a unit tells tokens with a label from the rest, from two histograms."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


class Separation(NamedTuple):
    """Of each pair of a unit and a label; NaN where no token has the label, or every token."""

    auroc: Float64[Tensor, " pairs"]
    """Chance that a token with the label has the larger value, ties counting half."""
    auroc_error: Float64[Tensor, " pairs"]
    """The AUROC of the values themselves differs from it by at most this: half the pairs that share a bin."""
    f1: Float64[Tensor, " pairs"]
    """Largest F1 of all thresholds between bins, on the side on which the label lies."""
    bin: Int64[Tensor, " pairs"]
    """First bin above that threshold."""


def separate(
    having: Int64[Tensor, "pairs bins"], lacking: Int64[Tensor, "pairs bins"], below: Tensor
) -> Separation:
    """AUROC and the best F1 of thresholds between bins.

    Args:
        having: Histogram of the tokens with the label.
        lacking: Histogram of those without it, in the same bins.
        below: True for pairs whose label lies below the threshold, [pairs].
    """
    having, lacking = having.double(), lacking.double()
    positive, negative = having.sum(1), lacking.sum(1)
    pairs = positive * negative
    beneath = lacking.cumsum(1) - lacking
    auroc = (having * (beneath + lacking / 2)).sum(1) / pairs
    error = (having * lacking).sum(1) / (2 * pairs)
    found = torch.where(below[:, None], _before(having), _from(having))
    wrong = torch.where(below[:, None], _before(lacking), _from(lacking))
    # Precision and recall: 2·TP / (2·TP + FP + FN), which is 0 where nothing is found.
    score = 2 * found / (found + wrong + positive[:, None]).clamp(min=1)
    best, place = score.max(1)
    nothing = pairs == 0
    return Separation(
        auroc.masked_fill(nothing, torch.nan),
        error.masked_fill(nothing, torch.nan),
        best.masked_fill(nothing, torch.nan),
        place,
    )


def _from(counts: Float64[Tensor, "pairs bins"]) -> Float64[Tensor, "pairs bins"]:
    """Counts of each bin and all above it."""
    return counts.flip(1).cumsum(1).flip(1)


def _before(counts: Float64[Tensor, "pairs bins"]) -> Float64[Tensor, "pairs bins"]:
    """Counts of all bins below each."""
    return counts.cumsum(1) - counts
