"""Correlation with a partner that other tokens chose, by brute force in float64."""

import numpy as np

from tests.reference.correlation import correlations


def split_half(left, right, group, choosing, width):
    """The partner chosen on one half of the tokens, measured on the other, both ways, averaged.

    Args:
        left: Activations [tokens, units].
        right: Activations of the other model [tokens, partners].
        group: Group of each token; groups are numbered in the order in which the halves take them by turns.
        choosing: Groups whose tokens chose candidates, and measure nothing.
        width: Candidates that each of these chose.

    Returns:
        One value a unit; NaN where no partner was a candidate of all choosing groups.
    """
    candidate = np.ones((left.shape[1], right.shape[1]), dtype=bool)
    for one in choosing:
        rho = correlations(left[group == one], right[group == one])
        threshold = np.sort(rho, axis=1)[:, -width]
        candidate &= rho >= threshold[:, None]
    measuring = [one for one in np.unique(group) if one not in choosing]
    halves = [np.isin(group, measuring[side::2]) for side in (0, 1)]
    rho = [np.where(candidate, correlations(left[half], right[half]), np.nan) for half in halves]
    result = np.full(left.shape[1], np.nan)
    for unit in np.flatnonzero(candidate.any(1)):
        one, other = (each[unit] for each in rho)
        result[unit] = (other[np.nanargmax(one)] + one[np.nanargmax(other)]) / 2
    return result
