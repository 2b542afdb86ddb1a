"""Confidence interval of a share."""

import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray
from scipy.stats import norm


def wilson_interval(
    count: Int[ndarray, " rows"], total: Int[ndarray, " rows"], confidence: float = 0.95
) -> tuple[Float64[ndarray, " rows"], Float64[ndarray, " rows"]]:
    """Wilson's score interval (1927), which holds for shares near 0 and small totals, too.

    Args:
        count: Successes.
        total: Trials.
        confidence: Level of the interval.

    Returns:
        Lower and upper end; NaN where nothing was tried.
    """
    z = norm.ppf(0.5 + confidence / 2)
    trials = np.where(total > 0, total, np.nan).astype(np.float64)
    share = count / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)
