"""Brute-force families: every formula over the whole matrix of activations, in float64."""

import numpy as np


def reduction_in_variance(values, labels):
    """The paper's equation 4, group by group: [labels, units] from [tokens, units] and [tokens, labels]."""
    values = values.astype(np.float64)
    rows = []
    for having in labels.T:
        share = having.mean()
        left = (1 - share) * values[~having].var(0) + share * values[having].var(0)
        rows.append(1 - left / values.var(0))
    return np.array(rows)


def difference(values, labels):
    """Mean with the label less mean without it: [labels, units]."""
    values = values.astype(np.float64)
    return np.array([values[having].mean(0) - values[~having].mean(0) for having in labels.T])


def f1(values, labels):
    """Largest F1 of `values >= threshold` over all thresholds."""
    scores = []
    for threshold in np.unique(values):
        found = values >= threshold
        hit = (found & labels).sum()
        scores.append(2 * hit / (found.sum() + labels.sum()))
    return max(scores)


def jackknife(values, labels, groups):
    """Standard error of the correlation of two vectors from leaving out one group (equal weights apart)."""
    values = values.astype(np.float64)
    whole = np.corrcoef(values, labels)[0, 1]
    known = np.unique(groups)
    count = len(known)
    sizes = np.array([(groups == group).sum() for group in known])
    without = np.array([np.corrcoef(values[groups != g], labels[groups != g])[0, 1] for g in known])
    weight = sizes.sum() / sizes
    pseudo = weight * whole - (weight - 1) * without
    centre = count * whole - ((1 - 1 / weight) * without).sum()
    return np.sqrt(((pseudo - centre) ** 2 / (weight - 1)).mean())


def benjamini_hochberg(p):
    """Adjusted p-values by the definition."""
    q = np.empty(len(p))
    for index, value in enumerate(p):
        q[index] = min(min(1.0, other * len(p) / (p <= other).sum()) for other in p[p >= value])
    return q


def previous(tokens, document):
    """Token before each token in the same document, -1 where there is none: [blocks, context]."""
    out = np.full_like(tokens, -1)
    for block in range(len(tokens)):
        for place in range(1, tokens.shape[1]):
            if document[block, place] >= 0 and document[block, place] == document[block, place - 1]:
                out[block, place] = tokens[block, place - 1]
    return out
