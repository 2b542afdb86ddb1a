"""Everything that the activations analysis reports, by brute force in float64 from [tokens, units]."""

import warnings

import numpy as np
from scipy import stats


def moments(values):
    """Mean, population variance, skew and non-excess kurtosis of every column; NaN without variance."""
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy on constant columns
        return {
            "mean": values.mean(0),
            "var": values.var(0),
            "skew": stats.skew(values, axis=0),
            "kurt": stats.kurtosis(values, axis=0, fisher=False),
        }


def frequency(values):
    return (values > 0).mean(0)


def order_statistic(values, level):
    """The smallest value with at least this share of the tokens at or below it."""
    return np.quantile(values.astype(np.float64), level, axis=0, method="inverted_cdf")


def eta_squared(values, groups):
    """Between-group variance over variance, group by group."""
    values = values.astype(np.float64)
    mean = values.mean(0)
    between = np.zeros(values.shape[1])
    for group in np.unique(groups):
        own = values[groups == group]
        between += len(own) * (own.mean(0) - mean) ** 2
    with np.errstate(invalid="ignore"):
        return between / ((values - mean) ** 2).sum(0)


def firing_information(values, groups):
    """Mutual information of group and firing from their joint table, in nats."""
    fired = values > 0
    found = np.zeros(values.shape[1])
    for group in np.unique(groups):
        for state in (True, False):
            own = (fired == state) & (groups == group)[:, None]
            joint = own.mean(0)
            apart = (groups == group).mean() * (fired == state).mean(0)
            with np.errstate(divide="ignore", invalid="ignore"):
                found += np.where(joint > 0, joint * np.log(joint / apart), 0)
    return found


def by_token(values, tokens):
    """Count, mean and maximum of every token that occurs, by token."""
    return {
        int(token): (
            int((tokens == token).sum()),
            values[tokens == token].astype(np.float64).mean(0),
            values[tokens == token].max(0),
        )
        for token in np.unique(tokens)
    }


def top(values, places, k):
    """The k largest values of every column and their places, of equal values the smallest place first."""
    found = []
    for column in values.T:
        order = np.lexsort((places, -column))[:k]
        found.append((column[order], places[order]))
    return np.stack([value for value, _ in found]), np.stack([place for _, place in found])


def published(values):
    """The reference scripts' binned moments and their sparsity, value by value."""
    edges = np.linspace(-10, 15, 256)
    width = edges[1] - edges[0]
    centres = np.concatenate([[edges[0] - width / 2], (edges[1:] + edges[:-1]) / 2, [edges[-1] + width / 2]])
    place = np.digitize(values.astype(np.float64), edges, right=True)
    binned = centres[place]
    return moments(binned) | {"sparsity": (place >= 102).mean(0)}
