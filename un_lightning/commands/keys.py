"""The verb `keys`, the `--help` of other verbs, and docs/keys.md: what can be set, and what it means."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from un_lightning.config import SCHEMAS, Config, registry
from un_lightning.config.key_docs import Key, documented
from un_lightning.errors import UserError
from un_lightning.files import atomic_write
from un_lightning.mistakes import nearest
from un_lightning.terminal import fail, say


WIDTH = 100


def main(argv: list[str]) -> int:
    """Print keys and their meaning, or write the page of all; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="un-lightning keys",
        description="What can be set in a config, and what it means.",
    )
    parser.add_argument("prefix", nargs="*", help="such as data, analysis.correlation or trainer.devices")
    parser.add_argument("--markdown", type=Path, help="write the page of all keys to this file")
    arguments = parser.parse_args(argv)
    if arguments.markdown:
        atomic_write(arguments.markdown, page())
        return 0
    try:
        for prefix in arguments.prefix or [""]:
            say("\n".join(_listed(prefix)))
    except UserError as error:
        fail(str(error))
        return 2
    return 0


def sections() -> Iterator[tuple[str, str, list[Key], str]]:
    """Name, key in front, keys and purpose of each part of a config; an analysis is `analysis.<kind>`."""
    purpose = lambda schema: " ".join((schema.__doc__ or "").split())
    groups = {*SCHEMAS, "analysis"}
    yield "run", "", [key for key in documented(Config) if key.name not in groups], purpose(Config)
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            title = group if len(schemas) == 1 else f"{group}.{name}"
            yield title, f"{group}.", documented(schema), purpose(schema)
    for kind in registry.kinds():
        try:
            schema = registry.schema(kind)
        except UserError:
            continue  # a package that cannot be used is named when its analysis is chosen
        yield f"analysis.{kind}", "analysis.", documented(schema), purpose(schema)


def page() -> str:
    """All keys as a page of the docs."""
    lines = [
        "# Keys",
        "",
        "Made by `un-lightning keys --markdown docs/keys.md` from the dataclasses in `un_lightning/config/`.",
    ]
    for title, front, keys, purpose in sections():
        if registry.package(title.removeprefix("analysis.")) is not None:
            continue
        lines += ["", f"## {title}", "", purpose, ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key in keys:
            default = f"`{key.default}`" if key.default else ""
            cells = f"`{front}{key.name}`", f"`{key.kind}`", default, key.doc
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def of_chosen(front: str, schema: type, values: Mapping[str, Any]) -> list[str]:
    """The keys of one chosen part of a config as lines for the terminal.

    Args:
        front: What stands in front of each key.
        schema: Its dataclass.
        values: What is chosen.
    """
    lines = []
    for key in documented(schema):
        if front or key.name not in {*SCHEMAS, "analysis"}:
            value = values.get(key.name)
            simple = isinstance(value, str | int | float | bool)
            lines += _lines(front, key._replace(default=str(value) if simple else key.default))
    return lines


def _listed(prefix: str) -> list[str]:
    """Lines about all keys below a prefix: a section, or a key such as `trainer.devices`.

    Raises:
        UserError: There is no such key.
    """
    found: list[str] = []
    names: list[str] = []
    for title, front, keys, purpose in sections():
        own = [key for key in keys if f"{front}{key.name}" == prefix or f"{title}.{key.name}" == prefix]
        names += [title, *(f"{front}{key.name}" for key in keys)]
        if not prefix:
            found.append(f"{title:24} {textwrap.shorten(purpose, WIDTH - 25, placeholder=' …')}")
        elif prefix in (title, title.partition(".")[0]):
            found += ["", f"{title}: {purpose}", *(line for key in keys for line in _lines(front, key))]
        elif own:
            found += ["", f"{title}:", *(line for key in own for line in _lines(front, key))]
    if not found:
        near = ", ".join(nearest(prefix, dict.fromkeys(names)))
        raise UserError(f"there is no key '{prefix}'; near are {near}")
    return [line for place, line in enumerate(found) if line or place]


def _lines(front: str, key: Key) -> list[str]:
    head = f"  {front}{key.name}" + (f"={key.default}" if key.default else "")
    indent = " " * 6
    return [head, *textwrap.wrap(key.doc, WIDTH, initial_indent=indent, subsequent_indent=indent)]
