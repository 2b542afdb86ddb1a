"""Where a neuron stands among the neurons of its layer."""

import numpy as np
from jaxtyping import Float, Float64, Shaped
from numpy import ndarray
from scipy.stats import rankdata


def layer_ranks(
    values: Float[ndarray, " neurons"], layer: Shaped[ndarray, " neurons"]
) -> Float64[ndarray, " neurons"]:
    """Rank of each neuron among those of its layer: 1 for the smallest, ties share their mean rank.

    Args:
        values: One number a neuron; NaN has no rank and is not counted.
        layer: Layer of each neuron.
    """
    ranks = np.full(len(values), np.nan)
    for members in layer_members(layer):
        present = members[np.isfinite(values[members])]
        ranks[present] = rankdata(values[present])
    return ranks


def layer_percentiles(
    values: Float[ndarray, " neurons"], layer: Shaped[ndarray, " neurons"]
) -> Float64[ndarray, " neurons"]:
    """Percentile of each neuron in its layer, 100 · rank / n, as scipy's `percentileofscore` has it.

    Args:
        values: One number a neuron; NaN stays NaN and is not counted.
        layer: Layer of each neuron.
    """
    ranks = layer_ranks(values, layer)
    percentiles = np.full(len(values), np.nan)
    for members in layer_members(layer):
        present = members[np.isfinite(ranks[members])]
        percentiles[present] = 100 * ranks[present] / max(len(present), 1)
    return percentiles


def layer_members(layer: Shaped[ndarray, " neurons"]) -> list[ndarray]:
    """Indices of the neurons of each layer, in the order of the layers."""
    return [np.flatnonzero(layer == one) for one in np.unique(layer)]
