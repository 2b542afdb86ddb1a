"""Every analysis by its kind: our own, and those of other packages, by their entry points.

Nothing is imported before it is needed: settings when an analysis is chosen, what carries it out when it
runs. So torch stays out of configs, and a broken package troubles nobody who does not choose its analysis.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.correlation import MeasureName
from un_lightning.config.declarations import OURS, Declaration, Way
from un_lightning.entry_points import Extension, find_extensions
from un_lightning.errors import UserError


class Runner(NamedTuple):
    """What carries out one analysis."""

    kind: str
    place: Any
    way: Way

    def load(self) -> Any:
        """Import it.

        Raises:
            UserError: It cannot be imported, or cannot be called; the message names the package.
        """
        found = _load(self.kind, self.place)
        if not callable(found):
            raise UserError(f"{_owner(self.kind)} cannot be used: {self.place} cannot be called")
        return found


def kinds() -> list[str]:
    """Every `analysis.kind` that can be chosen."""
    return sorted([*OURS, *_theirs()])


def problems() -> tuple[str, ...]:
    """What is wrong with extensions of other packages as far as that shows without importing them."""
    taken = {"analyses": frozenset(OURS), "labels": frozenset[str](), "measures": frozenset(MeasureName)}
    groups = (find_extensions(f"un_lightning.{group}", names) for group, names in taken.items())
    return tuple(problem for found in groups for problem in found.problems)


def package(kind: str) -> Extension | None:
    """The package that an analysis comes from; None for our own."""
    return _theirs().get(kind)


def config_folders() -> list[Path]:
    """Folders of YAML files that other packages bring: `configs` in each of them."""
    found = (extension.folder("configs") for extension in _theirs().values())
    return list(dict.fromkeys(folder for folder in found if folder is not None))


def schema(kind: str) -> type[AnalysisConfig]:
    """The dataclass of an analysis' settings.

    Raises:
        UserError: Another package brings it, and it cannot be used; the message names the package.
    """
    found = _load(kind, declaration(kind).config)
    if kind in OURS:
        return found
    refuse = lambda what: UserError(f"{_owner(kind)} cannot be used: {what}")
    known = isinstance(found, type) and issubclass(found, AnalysisConfig)
    if not known or "__dataclass_fields__" not in vars(found):
        raise refuse(f"{found!r} is no dataclass that extends un_lightning.config.AnalysisConfig")
    own = next(one.default for one in fields(found) if one.name == "kind")
    if own != kind:
        raise refuse(f"{found.__name__}.kind is '{own}', but must be '{kind}', as the entry point is called")
    try:
        OmegaConf.structured(found)
    except OmegaConfBaseException as error:
        raise refuse(f"{found.__name__} has a field that no config can hold ({error})") from error
    return found


def remarks(kind: str) -> list[str]:
    """What an analysis of another package that has been chosen should do better, a sentence each."""
    if package(kind) is None:
        return []
    config = schema(kind)
    lacks = []
    if not config.__doc__ or config.__doc__.startswith(f"{config.__name__}("):
        lacks.append("has no docstring")
    numbers = [one.name for one in fields(config) if one.type in (int, float, "int", "float")]
    if numbers and not hasattr(config, "__post_init__"):
        lacks.append(f"checks no limits of {', '.join(numbers)} in __post_init__")
    return [f"{_owner(kind)}: {config.__name__} {' and '.join(lacks)}"] if lacks else []


def runner(config: AnalysisConfig) -> Runner:
    """What carries out the analysis that a config describes; not imported yet.

    Raises:
        UserError: Another package brings it, and it cannot be used.
    """
    declared = declaration(config.kind)
    usual = declared.runs, declared.way
    return Runner(config.kind, *declared.variants.get(config.variant(), usual))


@cache
def declaration(kind: str) -> Declaration:
    """The declaration of an analysis.

    Raises:
        UserError: There is no such analysis, or another package brings it and it cannot be used.
    """
    if kind in OURS:
        return OURS[kind]
    if kind not in _theirs():
        raise UserError(f"analysis.kind is '{kind}', allowed are {', '.join(kinds())}")
    found = _theirs()[kind].load()
    if not isinstance(found, Declaration):
        raise UserError(
            f"{_owner(kind)} cannot be used: {_theirs()[kind].place} is no un_lightning.config.Declaration"
        )
    return found


def _theirs() -> Mapping[str, Extension]:
    return find_extensions("un_lightning.analyses", frozenset(OURS)).extensions


def _owner(kind: str) -> str:
    return str(package(kind) or f"analysis '{kind}'")


def _load(kind: str, place: Any) -> Any:
    """Import what an analysis names; what is there already stays as it is."""
    if not isinstance(place, str):
        return place
    if kind in OURS:
        module, _, name = place.partition(":")
        return getattr(import_module(module), name)
    return _theirs()[kind].find(place)
