"""What a measure of similarity says about itself, and the list of all that exist."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from jaxtyping import Float
from torch import Tensor

from un_lightning.entry_points import find_extensions
from un_lightning.errors import UserError
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
    units: Callable[[PairSums], Float[Tensor, " left"]] | None = None
    """One value for each unit of the row model, where a measure of another package has some: a column of
    its name in `tables/measures`."""
    layers: Callable[[PairSums], Float[Tensor, "left_layers right_layers"]] | None = None
    """The same for each pair of layers, in `tables/layer_similarity`."""


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
    """Look a measure up, ours or one that another package brings by an entry point `un_lightning.measures`.

    Raises:
        KeyError: There is none of that name; the message lists those that exist.
        UserError: Another package brings it, and it cannot be used; the message names the package.
    """
    packaged = find_extensions("un_lightning.measures").extensions
    if name not in MEASURES and name in packaged:
        found = packaged[name].load()
        if not isinstance(found, Measure) or found.name != name:
            raise UserError(
                f"{packaged[name]} cannot be used: {packaged[name].place} is no Measure named '{name}'"
            )
        if name not in MEASURES:  # importing it may have registered it
            register(found)
    if name not in MEASURES:
        raise KeyError(f"there is no measure '{name}'; known are {', '.join(sorted(MEASURES))}")
    return MEASURES[name]
