"""Correlations, both baselines, excess and summaries by brute force in float64."""

import numpy as np


def correlations(left, right):
    """Pearson correlation of every column of `left` with every column of `right`; NaN for constants."""
    left = left - left.mean(0)
    right = right - right.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (left.T @ right) / np.outer(np.sqrt((left**2).sum(0)), np.sqrt((right**2).sum(0)))


def rotated(values, widths, matrices):
    """A second pass over the data: each layer's activations times its random matrix."""
    pieces = np.split(values, np.cumsum(widths)[:-1], axis=1)
    return np.concatenate([piece @ matrix.T for piece, matrix in zip(pieces, matrices, strict=True)], axis=1)


def max_over_partners(rho):
    """Largest correlation of each row, over the columns where it exists."""
    return np.nanmax(np.where(np.isnan(rho), -np.inf, rho), axis=1)


def excess(left, others, widths, matrices):
    """Paper eq. 3, with the baseline averaged over draws.

    `others` maps a name to activations, `matrices` a name to a list of draws of a list of layers.
    """
    corr = np.stack([max_over_partners(correlations(left, other)) for other in others.values()])
    baseline = np.stack(
        [
            [
                max_over_partners(correlations(left, rotated(other, widths[name], draw)))
                for draw in matrices[name]
            ]
            for name, other in others.items()
        ]
    )
    return corr, baseline, corr.mean(0) - baseline.mean((0, 1))


def row_moments(rho):
    """Mean, population variance, skew E[z³] and kurtosis E[z⁴] of each row, over its existing columns."""
    mean = np.nanmean(rho, axis=1, keepdims=True)
    deviation = rho - mean
    variance = np.nanmean(deviation**2, axis=1)
    third = np.nanmean(deviation**3, axis=1)
    fourth = np.nanmean(deviation**4, axis=1)
    return {"mean": mean[:, 0], "var": variance, "skew": third / variance**1.5, "kurt": fourth / variance**2}
