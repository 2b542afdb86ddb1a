"""What a measure of similarity says about itself, and the list of all that exist."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from un_lightning.stats.pair_sums import PairSums


class Transformation(StrEnum):
    """What can be done to the activations of a layer; a measure may or may not notice."""

    permutation = "permutation"
    """Other order of the units."""
    isotropic_scaling = "isotropic_scaling"
    """One positive factor for the whole layer."""
    scaling = "scaling"
    """A positive factor for each unit."""
    shift = "shift"
    """A constant added to each unit."""
    rotation = "rotation"
    """An orthogonal matrix that mixes the units."""


@dataclass(frozen=True)
class Measure:
    """A measure of the similarity of two models, from the sums of one pass.

    The declarations hold for `score` and are checked by property tests.
    """

    name: str
    score: Callable[[PairSums], float]
    """The measure as one number: its mean over units or layers, as the summary reports it."""
    symmetric: bool
    """Whether exchanging the models changes nothing."""
    larger_is_more_similar: bool
    invariant_to: frozenset[Transformation]
    """Done to either model, or to both in different ways."""
    left_invariant_to: frozenset[Transformation] = frozenset()
    """Done to the row model alone, besides `invariant_to`."""
    right_invariant_to: frozenset[Transformation] = frozenset()
    """Done to the column model alone, besides `invariant_to`."""
    source: str = ""
    """Where the measure comes from."""


MEASURES: dict[str, Measure] = {}
"""Every measure by name."""


def register(measure: Measure) -> Measure:
    """Add a measure to those that exist.

    Raises:
        ValueError: The name is taken.
    """
    if measure.name in MEASURES:
        raise ValueError(f"there is a measure '{measure.name}' already; known are {', '.join(MEASURES)}")
    MEASURES[measure.name] = measure
    return measure


def find(name: str) -> Measure:
    """Look a measure up.

    Raises:
        KeyError: There is none of that name; the message lists those that exist.
    """
    if name not in MEASURES:
        raise KeyError(f"there is no measure '{name}'; known are {', '.join(sorted(MEASURES))}")
    return MEASURES[name]
