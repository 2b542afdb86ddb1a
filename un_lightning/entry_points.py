"""What other installed packages bring, by their entry points: found without importing any of them."""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from un_lightning.errors import UserError


class Extension(NamedTuple):
    """One thing that another package brings."""

    group: str
    """`un_lightning.` and what it is: `analyses`, `labels` or `measures`."""
    name: str
    place: str
    """`module` or `module:attribute`."""
    package: str
    """The distribution, as pip calls it."""
    version: str = ""
    """Of the distribution."""

    def __str__(self) -> str:
        return f"'{self.name}' in {self.group} of the package {self.package}"

    @property
    def release(self) -> str:
        """The package and its version."""
        return f"{self.package} {self.version}".strip()

    @property
    def module(self) -> str:
        """The module alone."""
        return self.place.partition(":")[0].strip()

    def load(self) -> Any:
        """Import it.

        Raises:
            UserError: It cannot be imported; the message names the package.
        """
        return self.find(self.place)

    def find(self, place: str) -> Any:
        """Import something else that the package names.

        Args:
            place: `module` or `module:attribute`.

        Raises:
            UserError: It cannot be imported; the message names the package.
        """
        try:
            return EntryPoint(self.name, place, self.group).load()
        except Exception as error:
            reason = next(iter(f"{type(error).__name__}: {error}".splitlines()))
            raise UserError(f"{self} cannot be used: {place} cannot be imported ({reason})") from error

    def folder(self, name: str) -> Path | None:
        """A folder of the package, beside its outermost module; None where there is none."""
        try:
            spec = find_spec(self.module.partition(".")[0])
        except (ImportError, ValueError):
            return None
        places = spec.submodule_search_locations if spec else None
        return next((path / name for path in map(Path, places or ()) if (path / name).is_dir()), None)


class Found(NamedTuple):
    """All extensions of a group."""

    extensions: Mapping[str, Extension]
    """By name."""
    problems: tuple[str, ...]
    """What is wrong with some of them, a sentence each that names the package."""


@cache
def find_extensions(group: str, taken: Collection[str] = frozenset()) -> Found:
    """The extensions of a group in all installed packages, which takes some milliseconds.

    Of two with the same name the package that comes first in the alphabet wins. What cannot be found stays
    in the list, so that whoever asks for it is told why there is none.

    Args:
        group: Such as `un_lightning.analyses`.
        taken: Names of our own, which nobody else can have; hashable.
    """
    found: dict[str, Extension] = {}
    problems = []
    packaged = [
        Extension(group, entry.name, entry.value, entry.dist.name, entry.dist.version)
        for entry in entry_points(group=group)
        if entry.dist is not None
    ]
    for one in sorted(packaged, key=lambda one: (one.package, one.name)):
        other = "un-lightning" if one.name in taken else None
        if one.name in found:
            other = found[one.name].package
        if other:
            problems.append(f"{one} is not used: {other} has one of that name already")
            continue
        found[one.name] = one
        if not _exists(one.module):
            problems.append(f"{one} cannot be used: there is no module {one.module}")
    return Found(found, tuple(problems))


def _exists(module: str) -> bool:
    """Whether a module is there, without importing it or the packages that it lies in."""
    name, *inner = module.split(".")
    try:
        spec = find_spec(name)
        for part in inner:
            if spec is None or spec.submodule_search_locations is None:
                return False
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    except (ImportError, ValueError):
        return False
    return spec is not None
