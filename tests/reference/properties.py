"""Comparisons of neurons with the rest of their layers, by scipy.stats and by counting."""

import numpy as np
from scipy.stats import mannwhitneyu, percentileofscore


def percentiles(values, layer):
    """Percentile of every neuron in its layer, one call an element, as the reference notebooks do."""
    return np.array(
        [
            percentileofscore(values[layer == own], value, kind="rank")
            for value, own in zip(values, layer, strict=True)
        ]
    )


def auc(values, chosen, layer):
    """Area under the ROC curve of every layer, averaged over the chosen neurons."""
    total, weight = 0.0, 0
    for own in np.unique(layer):
        inside, outside = values[(layer == own) & chosen], values[(layer == own) & ~chosen]
        if len(inside) and len(outside):
            u = mannwhitneyu(inside, outside, method="asymptotic").statistic
            total += len(inside) * u / (len(inside) * len(outside))
            weight += len(inside)
    return total / weight


def cliffs_delta(inside, outside):
    """Share of pairs that the first wins less the share that it loses."""
    return np.sign(inside[:, None] - outside[None, :]).mean()


def ks(values, chosen, layer):
    """Largest distance of the distributions of percentiles, layers weighted by their chosen neurons."""
    ranks = np.round(percentiles(values, layer), 9)
    usable = [own for own in np.unique(layer) if 0 < chosen[layer == own].sum() < (layer == own).sum()]
    total = sum(chosen[layer == own].sum() for own in usable)
    largest = 0.0
    for level in np.unique(ranks):
        distance = 0.0
        for own in usable:
            here, mine = layer == own, chosen[layer == own]
            below = ranks[here] <= level
            distance += mine.sum() / total * (below[mine].mean() - below[~mine].mean())
        largest = max(largest, abs(distance))
    return largest
