"""How often chance alone gives so large a correlation: p-values from the draws of the baseline.

The null hypothesis is that the units of the other model are no special basis of their layers: a random
rotation of each layer would have done as well. A unit's largest correlation X with each other model and its
largest correlations B₁ … B_D with D rotations of that model are then drawn from one distribution, and the
excess X - mean(B), averaged over models, has mean zero.

One unit has too few draws for small p-values, so what its layer has in common is pooled. A largest
correlation of thousands is a scale of the unit's own times an extreme value, and the spread of the draws
around a unit's mean, as a share of that mean, is the same for the units of a layer but for noise. The share
is pooled over units, models and draws. Excesses with models of other seeds may differ by more than draws do,
for instance because units that are sparse, as a rotation of them is not, meet by chance; then their spread
takes its place. The shape of the tail is that of the largest of many (Gumbel), and an average over models
follows a gamma distribution with the average's variance and skewness.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import false_discovery_control, pearson3


GUMBEL_SKEWNESS = 1.1395470994046486
"""12 √6 ζ(3) / π³. Largest correlations of a few thousand units are less skew (0.7): p is too large."""

FEWEST_DRAWS = 2
"""Draws of the baseline without which nothing is known of their spread."""


def p_above_chance(
    corr: Float[np.ndarray, "others units"],
    drawn: Float[np.ndarray, "others draws units"],
    layers: list[slice],
) -> Float[np.ndarray, " units"]:
    """One-sided p-value of each unit's excess over the baseline.

    Args:
        corr: Largest correlation with each other model; NaN for invalid units.
        drawn: The same for each draw of the baseline.
        layers: Units of each layer.

    Returns:
        NaN for invalid units, where a baseline does not exist, and for a single draw.
    """
    others, draws, units = drawn.shape
    p = np.full(units, np.nan)
    if draws < FEWEST_DRAWS:
        return p
    centre = drawn.mean(axis=1)
    excess = (corr - centre).mean(axis=0)
    for layer in layers:
        own = centre[:, layer]
        known = np.isfinite(excess[layer]) & (own > 0).all(axis=0)
        if not known.any():
            continue
        own = own[:, known]
        variance = _relative_variance(corr[:, layer][:, known], drawn[:, :, layer][:, :, known])
        spread = np.sqrt(variance * np.square(own).sum(axis=0)) / others
        third = variance**1.5 * (own**3).sum(axis=0) / others**3
        found = np.full(len(known), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[known] = pearson3.sf(excess[layer][known] / spread, GUMBEL_SKEWNESS * third / spread**3)
        p[layer] = found
    return p


def _relative_variance(
    corr: Float[np.ndarray, "others units"], drawn: Float[np.ndarray, "others draws units"]
) -> float:
    """Variance of the excess with one other model, as a share of the squared baseline, of a layer's units."""
    others, draws, _ = drawn.shape
    centre = drawn.mean(axis=1)
    # One draw's variance for X, and a D-th of it for the mean of the D others.
    over_draws = (drawn / centre[:, None]).var(axis=1, ddof=1).mean() * (1 + 1 / draws)
    over_models = (corr / centre).var(axis=0, ddof=1).mean() if others > 1 else 0.0
    return float(max(over_draws, over_models))


def false_discovery_rate(p: Float[np.ndarray, " units"]) -> Float[np.ndarray, " units"]:
    """Benjamini and Hochberg's q: the rate of false ones among all units with a p-value as small or smaller.

    It holds for independent p-values and for such as depend on each other positively, as those of units that
    fire alike do (Benjamini & Yekutieli 2001). A NaN stays NaN and is no test.
    """
    q = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
