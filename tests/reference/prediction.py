"""Prediction neurons by brute force in float64: all cosines at once, scipy's moments and tests, all pairs."""

import numpy as np
from scipy import stats

from tests.reference.weights import cosines, moments


def vocabulary_moments(directions, tokens, frequency):
    """Moments of cosines and of logit effects, plain and weighted: a dict of [directions, 4]."""
    logits = directions @ tokens.T
    found = {}
    for kind, values in (("cosine", cosines(directions, tokens)), ("logit", logits)):
        found[kind] = moments(values)
        found[f"{kind}_weighted"] = moments(values, frequency)
    return found


def classify(kurtosis, variance, var, skew, kurt):
    if kurt > kurtosis:
        return "prediction" if skew > 0 else "suppression"
    return "partition" if var > variance else "other"


def label_contrast(values, has):
    """Five measures of one label for one row of cosines, in the order of `LabelContrast`."""
    inside, outside = values[has], values[~has]
    share = has.mean()
    kurtosis = lambda part: stats.kurtosis(part, fisher=False)
    average = lambda function: share * function(inside) + (1 - share) * function(outside)
    return [
        inside.mean() - outside.mean(),
        stats.ttest_ind(inside, outside, equal_var=False).statistic,
        1 - average(np.var) / values.var(),
        abs(stats.skew(values)) - average(lambda part: abs(stats.skew(part))),
        1 - average(kurtosis) / kurtosis(values),
    ]


def next_tokens(tokens, counted, document):
    """Block, position and next token of every counted token whose successor counts and belongs to it."""
    return [
        (block, place, tokens[block, place + 1])
        for block in range(tokens.shape[0])
        for place in range(tokens.shape[1] - 1)
        if counted[block, place]
        and counted[block, place + 1]
        and document[block, place] == document[block, place + 1]
    ]


def separation(values, inside):
    """Cohen's d and the AUROC by comparing all pairs."""
    one, other = values[inside], values[~inside]
    pooled = (one.var() * len(one) + other.var() * len(other)) / (len(values) - 2)
    wins = (one[:, None] > other).mean() + (one[:, None] == other).mean() / 2
    return (one.mean() - other.mean()) / np.sqrt(pooled), wins


def jackknife(values, inside, group):
    """Standard error of Cohen's d from leaving out one group at a time (Busing et al. 1999)."""
    groups = np.unique(group)
    whole, _ = separation(values, inside)
    left, size = [], []
    for own in groups:
        keep = group != own
        left.append(separation(values[keep], inside[keep])[0])
        size.append(np.sum(group == own))
    left, share = np.array(left), len(values) / np.array(size)
    pseudo = share * whole - (share - 1) * left
    centre = len(groups) * whole - ((1 - 1 / share) * left).sum()
    return np.sqrt(((pseudo - centre) ** 2 / (share - 1)).mean())
