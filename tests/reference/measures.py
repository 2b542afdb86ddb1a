"""Measures of similarity by brute force in float64, from activations [tokens, units]."""

from itertools import permutations

import numpy as np


def cosines(left, right):
    """Cosine of every column of `left` with every column of `right`."""
    return (left.T @ right) / np.outer(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=0))


def jaccards(left, right, threshold=0.0):
    """|A ∩ B| / |A ∪ B| of the sets of tokens above the threshold; zero for two empty sets."""
    sets = [[set(np.flatnonzero(column > threshold)) for column in side.T] for side in (left, right)]
    return np.array([[len(a & b) / max(len(a | b), 1) for b in sets[1]] for a in sets[0]])


def cka(left, right):
    """Linear CKA from the similarities of tokens: the other form of the formula that the package uses."""
    grams = []
    for side in (left, right):
        centred = side - side.mean(0)
        grams.append(centred @ centred.T)
    return (grams[0] * grams[1]).sum() / (np.linalg.norm(grams[0]) * np.linalg.norm(grams[1]))


def r_squared(predictors, target):
    """R² of least squares with an intercept."""
    centred, values = predictors - predictors.mean(0), target - target.mean()
    weights = np.linalg.lstsq(centred, values, rcond=None)[0]
    return 1 - ((values - centred @ weights) ** 2).sum() / (values**2).sum()


def ridge_r_squared(predictors, target, ridge):
    """cᵀ (Σ + λ1)⁻¹ c / σ² with λ = ridge · mean variance."""
    covariance = np.cov(predictors.T, bias=True).reshape(predictors.shape[1], -1)
    cross = ((predictors - predictors.mean(0)) * (target - target.mean())[:, None]).mean(0)
    penalty = ridge * np.trace(covariance) / len(covariance)
    return cross @ np.linalg.solve(covariance + penalty * np.eye(len(covariance)), cross) / target.var()


def mutual(rho, k=1):
    """Rows and columns that have each other among their k largest."""
    rows, columns = np.argsort(-rho, axis=1)[:, :k], np.argsort(-rho, axis=0)[:k].T
    return np.array([any(i in columns[j] for j in rows[i]) for i in range(len(rho))])


def best_assignment(values):
    """Largest sum of one-to-one matches, by trying all."""
    values = values if values.shape[0] <= values.shape[1] else values.T
    return max(
        sum(values[i, j] for i, j in enumerate(order))
        for order in permutations(range(values.shape[1]), values.shape[0])
    )


def greedy_assignment(values):
    """Pairs, taken in descending order."""
    rows, columns, pairs = set(), set(), []
    for flat in np.argsort(-values, axis=None):
        i, j = np.unravel_index(flat, values.shape)
        if i not in rows and j not in columns:
            pairs.append((int(i), int(j)))
            rows.add(i)
            columns.add(j)
    return sorted(pairs)
