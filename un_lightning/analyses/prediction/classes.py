"""Which neurons predict, suppress or divide tokens, by what they do to the vocabulary (method F)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from un_lightning.config import PredictionConfig
from un_lightning.stats.vocabulary_moments import MOMENTS


CLASSES = ("other", "prediction", "suppression", "partition")
"""Named by code; a neuron that writes nothing has the code -1 and belongs to none."""
NAMED = CLASSES[1:]
INVALID = "invalid"

_VAR, _SKEW, _KURT = (MOMENTS.index(name) for name in ("var", "skew", "kurt"))


def classify(
    config: PredictionConfig, moments: Float64[ndarray, "neurons four"]
) -> Int64[ndarray, " neurons"]:
    """Give each neuron the code of its class (paper section 5.2).

    A few tokens far from all others make the kurtosis large, and the sign of the skew says whether they are
    raised (prediction) or lowered (suppression). A large variance without such tails divides the vocabulary.

    Args:
        config: The thresholds.
        moments: Moments of cos(W_U, w_out) over the vocabulary.
    """
    variance, skew, kurt = moments[:, _VAR], moments[:, _SKEW], moments[:, _KURT]
    with np.errstate(invalid="ignore"):
        tailed, wide = kurt > config.kurtosis, variance > config.variance
    code = np.select([tailed & (skew > 0), tailed & (skew < 0), wide], [1, 2, 3], 0)
    return np.where(np.isfinite(kurt), code, -1).astype(np.int64)


def class_names(codes: Int64[ndarray, " neurons"]) -> ndarray:
    """Name of each code."""
    return np.array([*CLASSES, INVALID], dtype=object)[codes]


def extremity(
    codes: Int64[ndarray, " neurons"], moments: Float64[ndarray, "neurons four"]
) -> Float64[ndarray, " neurons"]:
    """How far a neuron is into its class: kurtosis, or variance where it is a partition neuron."""
    return np.where(codes == CLASSES.index("partition"), moments[:, _VAR], moments[:, _KURT])


def most_extreme(
    codes: Int64[ndarray, " neurons"], moments: Float64[ndarray, "neurons four"], limit: int
) -> Int64[ndarray, " chosen"]:
    """At most `limit` neurons of each class, those furthest into it, ascending by index."""
    far = extremity(codes, moments)
    chosen = []
    for code in range(1, len(CLASSES)):
        members = np.flatnonzero(codes == code)
        chosen.append(members[np.argsort(-far[members], kind="stable")[:limit]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def shares(codes: Int64[ndarray, " neurons"]) -> Mapping[str, float]:
    """Share of each named class among the neurons that have one."""
    valid = codes[codes >= 0]
    return {name: float(np.mean(valid == CLASSES.index(name))) if len(valid) else np.nan for name in NAMED}
