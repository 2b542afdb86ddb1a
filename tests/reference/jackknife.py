"""Leave-one-group-out by brute force: the tokens themselves are left out."""

import numpy as np


def leave_one_out(left, right, group):
    """Correlation of two vectors without each group."""
    return np.array([np.corrcoef(left[group != g], right[group != g])[0, 1] for g in np.unique(group)])


def equal_groups_error(values):
    """The textbook jackknife for groups of one size."""
    size = len(values)
    return np.sqrt((size - 1) / size * ((values - values.mean(0)) ** 2).sum(0))
