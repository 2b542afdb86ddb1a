"""What each key of a config means: the docstrings behind the dataclasses' fields, read from their source."""

import ast
import inspect
import textwrap
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple


class Key(NamedTuple):
    """One key."""

    name: str
    kind: str
    """Its type, as the dataclass says it."""
    default: str
    """As it is written in a config; empty where it has none."""
    doc: str
    """One paragraph; empty where nothing is said."""


def documented(schema: type) -> list[Key]:
    """The keys of a dataclass, in order, with what its own source and those that it extends say of them.

    Args:
        schema: A dataclass.
    """
    docs: dict[str, tuple[str, str]] = {}
    for owner in reversed(schema.__mro__):
        if is_dataclass(owner):
            for name, (kind, doc) in _of_source(owner).items():
                docs[name] = kind, doc or docs.get(name, ("", ""))[1]
    keys = []
    for field in fields(schema):
        kind, doc = docs.get(field.name, (str(field.type), ""))
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        keys.append(Key(field.name, kind, _shown(default), doc or _of_choices(field.type)))
    return keys


def _of_source(schema: type) -> dict[str, tuple[str, str]]:
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(schema))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # a class that was made without a file
        return {}
    assert isinstance(node, ast.ClassDef)
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
            found[last] = ast.unparse(statement.annotation), ""
        elif last and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            found[last] = found[last][0], " ".join(str(statement.value.value).split())
            last = ""
        else:
            last = ""
    return found


def _of_choices(kind: Any) -> str:
    """The docstring of an enumeration and its values, for a field that says nothing of its own."""
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        return ""
    choices = ", ".join(str(one.value) for one in kind)
    return f"{' '.join((kind.__doc__ or '').split())} One of {choices}."


def _shown(value: Any) -> str:
    if value is MISSING or value == "???":
        return ""
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return "…" if is_dataclass(value) else str(value)
