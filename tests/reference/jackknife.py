"""Leave-one-group-out by brute force: the tokens themselves are left out."""

import numpy as np


def leave_one_out(left, right, group):
    """Correlation of two vectors without each group."""
    return np.array([np.corrcoef(left[group != g], right[group != g])[0, 1] for g in np.unique(group)])


def equal_groups_error(values):
    """The textbook jackknife for groups of one size."""
    size = len(values)
    return np.sqrt((size - 1) / size * ((values - values.mean(0)) ** 2).sum(0))


def unequal_groups_error(whole, without, tokens):
    """The jackknife for groups of different size, from pseudo-values (Busing et al. 1999, eq. 10)."""
    total, size = tokens.sum(), len(tokens)
    ratio = [total / own for own in tokens]
    estimate = size * whole - sum(
        (1 - own / total) * value for own, value in zip(tokens, without, strict=True)
    )
    pseudo = [h * whole - (h - 1) * value for h, value in zip(ratio, without, strict=True)]
    return np.sqrt(sum((own - estimate) ** 2 / (h - 1) for own, h in zip(pseudo, ratio, strict=True)) / size)
