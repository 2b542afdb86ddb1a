"""Errors over draws and models, and p-values of excess correlations, by loops in float64."""

import math

import numpy as np
from scipy.stats import gamma


def mean_over_draws(drawn):
    """Mean of numbers [others, draws, …] and its error over draws, model by model."""
    others, draws = drawn.shape[:2]
    total = 0.0
    for one in drawn:
        centre = sum(one) / draws
        total = total + sum((value - centre) ** 2 for value in one) / (draws - 1) / draws
    return drawn.mean((0, 1)), np.sqrt(total) / others


def leave_one_model_out(values):
    """Textbook jackknife of the mean over models."""
    others = len(values)
    without = [np.mean([v for j, v in enumerate(values) if j != i], axis=0) for i in range(others)]
    return np.sqrt((others - 1) / others * sum((one - np.mean(without, axis=0)) ** 2 for one in without))


def p_values(corr, drawn, widths):
    """Unit by unit: the larger of two spreads that its layer shares, and a gamma tail."""
    others, draws, units = drawn.shape
    skew = 12 * math.sqrt(6) * 1.2020569031595942 / math.pi**3
    layer = np.repeat(np.arange(len(widths)), widths)
    found = np.full(units, np.nan)
    alive = [i for i in range(units) if np.isfinite(corr[:, i]).all() and np.isfinite(drawn[:, :, i]).all()]
    for i in alive:
        beside = [j for j in alive if layer[j] == layer[i]]
        rotations = [
            ((drawn[m, :, j] / drawn[m, :, j].mean() - 1) ** 2).sum() / (draws - 1)
            for j in beside
            for m in range(others)
        ]
        excesses = [np.array([corr[m, j] / drawn[m, :, j].mean() - 1 for m in range(others)]) for j in beside]
        models = [((one - one.mean()) ** 2).sum() / (others - 1) for one in excesses] if others > 1 else [0]
        share = math.sqrt(max(np.mean(rotations) * (1 + 1 / draws), np.mean(models)))
        sigma = [share * drawn[m, :, i].mean() for m in range(others)]
        variance = sum(one**2 for one in sigma) / others**2
        third = sum(skew * one**3 for one in sigma) / others**3
        shape = 4 * variance**3 / third**2
        scale = third / (2 * variance)
        excess = np.mean([corr[m, i] - drawn[m, :, i].mean() for m in range(others)])
        found[i] = gamma.sf(excess + shape * scale, shape, scale=scale)
    return found


def q_values(p):
    """Benjamini and Hochberg, by their definition."""
    known = p[~np.isnan(p)]
    smallest = lambda level: min(
        len(known) * other / np.sum(known <= other) for other in known if other >= level
    )
    return np.array([np.nan if np.isnan(one) else min(1.0, smallest(one)) for one in p])
