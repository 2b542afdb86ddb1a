"""Errors of means over few draws or few models, and intervals of what has several such errors.

Each independent source of error keeps its own degrees of freedom: a spread seen in three draws is known far
less well than one seen in twenty groups of tokens, and must be given more room.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student


class SamplingError(NamedTuple):
    """Standard errors from one source."""

    stderr: Float[np.ndarray, "*shape"]
    """NaN where the source was seen once only."""
    degrees: int
    """Degrees of freedom of the variance that they come from."""


def over_draws(drawn: Float[np.ndarray, "others draws *shape"]) -> SamplingError:
    """Error of the mean over draws and other models, for these models: draws alone are random.

    Draws for different models are independent, so each model's spread is taken around its own mean, and the
    variances add up: others · (draws - 1) degrees of freedom instead of draws - 1.

    Args:
        drawn: One value for each other model and draw.
    """
    others, draws = drawn.shape[:2]
    if draws < 2:
        return SamplingError(np.full(drawn.shape[2:], np.nan), 0)
    variance = drawn.var(axis=1, ddof=1) / draws
    return SamplingError(np.sqrt(variance.sum(axis=0)) / others, others * (draws - 1))


def over_members(values: Float[np.ndarray, " others *shape"]) -> SamplingError:
    """Error of the mean over other models, each of them one draw of all models that other seeds would give.

    For a mean this is the jackknife that leaves out one model at a time.

    Args:
        values: One value for each other model.
    """
    others = len(values)
    if others < 2:
        return SamplingError(np.full(values.shape[1:], np.nan), 0)
    return SamplingError(values.std(axis=0, ddof=1) / np.sqrt(others), others - 1)


def leave_one_out_error(without: Float[np.ndarray, " parts"]) -> float:
    """Delete-one jackknife of any number that was worked out without each of some equal parts.

    Args:
        without: The number without each part.

    Returns:
        Its standard error; NaN for fewer than two parts.
    """
    parts = len(without)
    if parts < 2:
        return float("nan")
    return float(np.sqrt((parts - 1) * without.var()))


def reach(errors: Sequence[SamplingError], confidence: float) -> Float[np.ndarray, "*shape"]:
    """Half of the width of an interval around a sum of estimates with independent errors.

    Each error is stretched by Student's t for its own degrees of freedom before the squares are added. With
    one source that is the usual interval. With several it is wider than Welch's and Satterthwaite's, which
    falls short of its level where the smaller error has one or two degrees of freedom (simulated in
    tests/stats/test_sampling_error.py).

    Args:
        errors: One for each source.
        confidence: Such as 0.95.

    Returns:
        NaN where any of the errors is unknown.
    """
    stretched = [
        error.stderr * (student.ppf(0.5 + confidence / 2, error.degrees) if error.degrees else np.nan)
        for error in errors
    ]
    return np.sqrt(np.sum(np.square(stretched), axis=0))
