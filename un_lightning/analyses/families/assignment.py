"""From labels to families, by the paper's criteria (method E.3)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from un_lightning.config import FamilyCriteria
from un_lightning.labels.pipeline import SYNTAX_KINDS
from un_lightning.stats.best_labels import TIE


FAMILIES = ("alphabet", "unigram", "topic", "previous", "syntax", "subset", "position", "vocabulary")
"""Families that have labels; where two labels fit a neuron equally well, the earlier family has it."""
OTHER, UNEXPLAINED, INVALID = "other", "unexplained", "invalid"
"""Explained, but by less than its family's criterion; by next to nothing; not a neuron that varies."""
NAMES = (*FAMILIES, OTHER, UNEXPLAINED)
"""Every family of a valid neuron."""
WORDS = ("letter/a", "letter/i")
"""Letters that are words, too: what fits the string as well is no neuron of the alphabet (method E14)."""


def family_of_kind(kind: str) -> str:
    """The family to which labels of a kind speak; kinds of users' own are of the vocabulary."""
    if kind.startswith("previous/"):
        return "previous"
    if kind in SYNTAX_KINDS:
        return "syntax"
    return {"letter": "alphabet"}.get(kind, kind if kind in FAMILIES else "vocabulary")


def best_rows(
    reduction: Float64[ndarray, "families units"], confounded: Bool[ndarray, " units"]
) -> Int64[ndarray, " units"]:
    """The family of each neuron's best label, an index into `FAMILIES`.

    Args:
        reduction: Reduction in variance by the best label of each family.
        confounded: Neurons whose best letter is a word, too, that fits as well.
    """
    value = np.round(reduction / TIE)  # so that rounding decides nothing between equal labels
    value[FAMILIES.index("alphabet"), confounded] = -1
    return value.argmax(0)


def best_by_family(
    corr: Float64[ndarray, "kinds units"], label: Int64[ndarray, "kinds units"], kinds: Sequence[str]
) -> tuple[Float64[ndarray, "families units"], Int64[ndarray, "families units"]]:
    """Correlation with the best label of each family, and that label; 0 and -1 where there is none."""
    units = corr.shape[1]
    values = np.zeros((len(FAMILIES), units))
    labels = np.full((len(FAMILIES), units), -1, dtype=np.int64)
    for row, family in enumerate(FAMILIES):
        own = [index for index, kind in enumerate(kinds) if family_of_kind(kind) == family]
        if own:
            place = np.round(np.square(corr[own]) / TIE).argmax(0)
            values[row] = corr[own][place, np.arange(units)]
            labels[row] = label[own][place, np.arange(units)]
    return values, labels


def assign(
    criteria: FamilyCriteria,
    reduction: Float64[ndarray, "families units"],
    confounded: Bool[ndarray, " units"],
    neurons: pd.DataFrame,
) -> ndarray:
    """The family of each neuron.

    A neuron is of position if its pre-activation is spread wide (kurtosis), position says when it fires and
    explains its variance (mutual information, η²), and no label explains more. Otherwise it is of the family
    of the label that explains most, if that meets the family's criterion. It is unexplained only if neither a
    label nor position explains it.

    Args:
        criteria: The criteria.
        reduction: Reduction in variance by the best label of each family.
        confounded: Neurons whose best letter is a word, too, that fits as well.
        neurons: One row a neuron, with `valid, kurt, position_mi, eta2_position`.

    Returns:
        Names, [units].
    """
    limits = {"position": criteria.unexplained}
    limits |= {name: getattr(criteria, name) for name in FAMILIES if name != "position"}
    best = best_rows(reduction, confounded)
    largest = reduction.max(0)
    family = np.array(FAMILIES, dtype=object)[best]
    met = reduction[best, np.arange(len(best))] > np.array([limits[name] for name in FAMILIES])[best]
    met &= largest >= criteria.unexplained
    family[~met] = OTHER
    placed = (neurons["eta2_position"] > criteria.position_eta2) & (neurons["eta2_position"] > largest)
    family[(largest < criteria.unexplained) & ~placed.to_numpy()] = UNEXPLAINED
    wide = neurons["kurt"] < criteria.kurtosis
    positional = placed & wide & (neurons["position_mi"] > criteria.position_mi)
    family[positional.to_numpy()] = "position"
    family[~neurons["valid"].to_numpy()] = INVALID
    return family
