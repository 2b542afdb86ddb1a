"""Which labels exist: each is a function of a token's text, registered under a name that nobody else has."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from un_lightning.entry_points import find_extensions
from un_lightning.errors import UserError


Test = Callable[[str], bool]
Members = Callable[[str], Iterable[str]]

BUILT_IN = "un_lightning.labels"
_TAKEN = frozenset(
    [
        "unigram",
        "topic",
        "previous",
        "subset",
        "position",
        "pos",
        "tag",
        "dep",
        "morph",
        "ent",
        "sentence",
        "lexeme",
    ]
)
"""Namespaces and kinds of labels that are made from data, not by a function."""


@dataclass(frozen=True)
class LabelFamily:
    """Labels that one function decides for a token's text."""

    kind: str
    names: dict[str, str]
    """Name of each label, by what the function calls it."""
    members: Members
    """Which of them a text has."""
    module: str

    def of(self, text: str) -> list[str]:
        """Names of the labels that a token has.

        Raises:
            UserError: The function fails, or returns what it did not announce.
        """
        first = next(iter(self.names.values()), self.kind)
        try:
            members = list(self.members(text))
        except Exception as error:
            raise UserError(
                f"label {first} of {self.module} fails on the token {text!r}: {error!r}"
            ) from error
        unknown = [member for member in members if member not in self.names]
        if unknown:
            raise UserError(
                f"label {first} of {self.module} returns {unknown[0]!r}, which it did not announce"
            )
        return [self.names[member] for member in members]


class Registry:
    """Label families in the order of their registration, each name once."""

    def __init__(self) -> None:
        self._families: list[LabelFamily] = []
        self._owner: dict[str, str] = {}

    def add(self, family: LabelFamily) -> None:
        """Register a family.

        Raises:
            UserError: A name is taken, or is no `namespace/rest`.
        """
        if family.kind in _TAKEN:
            raise UserError(f"{family.module} has labels of kind '{family.kind}', which are made from data")
        seen: set[str] = set()
        for name in family.names.values():
            space, _, rest = name.partition("/")
            if not space or not rest:
                raise UserError(f"{family.module} names a label {name!r}: name it namespace/rest")
            if space in _TAKEN:
                raise UserError(f"{family.module} names a label {name!r}, but '{space}' is made from data")
            owner = family.module if name in seen else self._owner.get(name)
            if owner:
                raise UserError(f"{family.module} names a label {name!r}, but {owner} has it already")
            seen.add(name)
        self._owner |= dict.fromkeys(seen, family.module)
        self._families.append(family)

    def forget(self, module: str) -> None:
        """Drop what a module registered."""
        self._families = [family for family in self._families if family.module != module]
        self._owner = {name: owner for name, owner in self._owner.items() if owner != module}

    def of_modules(self, modules: Collection[str]) -> Iterator[LabelFamily]:
        """The families of the package and of some other modules, or of what lies in those."""
        wanted = (BUILT_IN, *modules)
        for family in self._families:
            if any(family.module == name or family.module.startswith(f"{name}.") for name in wanted):
                yield family


REGISTRY = Registry()


def label(name: str, kind: str | None = None) -> Callable[[Test], Test]:
    """Register a function that says whether a token's text has a label.

    Args:
        name: `namespace/rest`, unlike every other label's.
        kind: What it is reported under; the namespace where nothing is said.

    Raises:
        UserError: The name is taken, or has no namespace.
    """

    def register(test: Test) -> Test:
        members = lambda text: [name] if test(text) else []
        REGISTRY.add(LabelFamily(kind or name.partition("/")[0], {name: name}, members, test.__module__))
        return test

    return register


def label_family(kind: str, members: Iterable[str]) -> Callable[[Members], Members]:
    """Register a function that says which of several labels a token's text has.

    Args:
        kind: Kind and namespace: member `x` is the label `kind/x`.
        members: All that the function can return.

    Raises:
        UserError: A name is taken or occurs twice.
    """
    names = list(members)

    def register(function: Members) -> Members:
        module = function.__module__
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise UserError(f"{module} names labels of kind {kind} twice: {', '.join(twice)}")
        REGISTRY.add(LabelFamily(kind, {name: f"{kind}/{name}" for name in names}, function, module))
        return function

    return register


def known_labels(modules: Sequence[str] = ()) -> dict[str, list[str]]:
    """Names of all labels that functions decide, by kind.

    Args:
        modules: Modules to import first, or entry points, whose labels are listed, too.

    Raises:
        UserError: A module is not found, or its labels cannot be registered.
    """
    names: dict[str, list[str]] = {}
    for family in REGISTRY.of_modules(import_labels(modules)):
        names.setdefault(family.kind, []).extend(family.names.values())
    return names


def import_labels(names: Sequence[str]) -> list[str]:
    """Import modules that register labels.

    Args:
        names: Of modules, or of entry points `un_lightning.labels` of installed packages.

    Returns:
        The names of the modules.

    Raises:
        UserError: A module is not found, or its labels cannot be registered.
    """
    packaged = find_extensions("un_lightning.labels").extensions
    modules = [packaged[name].module if name in packaged else name for name in names]
    for name, module in zip(names, modules, strict=True):
        try:
            import_module(module)
        except UserError:
            REGISTRY.forget(module)
            raise
        except Exception as error:
            REGISTRY.forget(module)
            if name in packaged:
                hint = f"the package {packaged[name].package} brings it as '{name}'"
            else:
                known = f", or be one of {', '.join(sorted(packaged))}" if packaged else ""
                hint = f"it must lie on the Python path, for instance by PYTHONPATH=.{known}"
            raise UserError(
                f"analysis.labels.modules: {module} cannot be imported ({type(error).__name__}: {error}); "
                f"{hint}"
            ) from error
    return modules
