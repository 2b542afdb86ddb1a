"""Moments and activation frequency as the reference scripts bin them (method C.1, C.4).

They count pre-activations in bins of 25/255 between -10 and 15, put everything at the centre of its bin, and
call `sparsity` what lies above the edge below zero, -0.098. This is kept to show what the binning changes.
"""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


LOW, HIGH, BINS = -10.0, 15.0, 255
"""Range of the reference's bins; a bin holds its upper edge."""


def published_moments(counts: Int64[Tensor, "units columns"]) -> dict[str, Float64[Tensor, " units"]]:
    """Mean, population variance, skew, kurtosis (non-excess) and sparsity from binned counts.

    Args:
        counts: What lies at or below -10, the 255 bins, and what lies above 15.
    """
    width = (HIGH - LOW) / BINS
    centres = LOW + width * (torch.arange(BINS + 2, dtype=torch.float64, device=counts.device) - 0.5)
    weights = counts.double() / counts.sum(1, keepdim=True)
    mean = weights @ centres
    deviations = centres - mean[:, None]
    variance, third, fourth = ((weights * deviations**power).sum(1) for power in (2, 3, 4))
    edges = LOW + width * torch.arange(BINS + 1, dtype=torch.float64)
    zero = int((edges > -width / 2).nonzero()[0])  # the first edge at or above zero, up to rounding
    return {
        "mean": mean,
        "var": variance,
        "skew": third / variance**1.5,
        "kurt": fourth / variance**2,
        "sparsity": weights[:, zero:].sum(1),
    }
