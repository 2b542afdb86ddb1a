"""Where the text of the source `local` lies, and how files become documents."""

import inspect
import pydoc_data.topics
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any


PACKAGES = (
    "torch", "transformers", "numpy", "scipy", "pandas", "sympy", "networkx", "matplotlib", "datasets",
    "huggingface_hub", "wandb", "pytorch_lightning", "torchmetrics", "transformer_lens", "pyarrow", "fsspec",
    "omegaconf", "hydra", "pydantic", "rich", "jinja2", "requests", "aiohttp", "httpx", "PIL", "accelerate",
    "mpmath", "fontTools", "einops", "typeguard", "yaml", "click", "setuptools", "pip",
)  # fmt: skip
"""Packages whose docstrings are read."""

_STDLIB_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "encodings", "pydoc_data"}

_DOCSTRING = re.compile(
    r"^(?:[ \t]*(?:async[ ]+)?(?:def|class)[ ]+(?P<name>\w+)"  # a definition,
    r"(?:\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?[^:\n]*:[ \t]*(?:\#[^\n]*)?\n[ \t]*"  # its header,
    r"|(?<![\s\S]))"  # or the beginning of the file,
    r'[rRuU]?"""(?P<text>(?:[^"\\]|\\.|"(?!""))*)"""',  # and a docstring
    re.MULTILINE | re.DOTALL,
)
"""Docstrings are found by their look: to parse a file takes twenty times as long."""

_CHAPTER = re.compile(r"(?m)^(?=#{1,2} |[^\n]{3,80}\n[=-]{3,}[ ]*$)")
"""Where a chapter of Markdown or reStructuredText begins."""

Opener = Callable[[], Iterable[str]]
"""Reads a file; yields the documents in it."""


def _read(path: Path) -> list[str]:
    return [path.read_text(encoding="utf-8")]


def _stdlib() -> dict[str, Opener]:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = (p for p in root.rglob("*.py") if not _STDLIB_SKIPPED & set(p.relative_to(root).parts))
    return {f"stdlib/{path.relative_to(root).as_posix()}": partial(_read, path) for path in files}


def _docstrings() -> dict[str, Opener]:
    entries: dict[str, Opener] = {}
    for package in PACKAGES:
        spec = find_spec(package)  # of a top-level name: does not import it
        for root in (spec.submodule_search_locations or []) if spec else []:
            for path in Path(root).rglob("*.py"):
                name = path.relative_to(root).as_posix()
                entries[f"docstrings/{package}/{name}"] = partial(docstrings, path)
    return entries


def docstrings(path: Path) -> Iterator[str]:
    """Docstrings of a module, each behind the name of what it describes."""
    for found in _DOCSTRING.finditer(path.read_text(encoding="utf-8")):
        text = inspect.cleandoc(found["text"])
        yield f"{found['name']}\n\n{text}" if found["name"] else text


def chapters(text: str) -> list[str]:
    """The chapters of a text."""
    return _CHAPTER.split(text)


def _readmes() -> dict[str, Opener]:
    return {
        f"readmes/{d.metadata['Name']}": partial(_description, d)
        for d in metadata.distributions()
        if d.metadata["Name"]
    }


def _description(distribution: metadata.Distribution) -> list[str]:
    message: Any = distribution.metadata  # an email, and its body is the README
    return chapters(str(message.get_payload() or ""))


def _licences() -> dict[str, Opener]:
    entries: dict[str, Opener] = {}
    for distribution in metadata.distributions():
        for file in distribution.files or []:
            stem = file.name.upper()
            named = any(word in stem for word in ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS"))
            if named and not stem.endswith((".PY", ".PYC", ".JSON")):
                path = Path(str(distribution.locate_file(file)))
                entries[f"licences/{distribution.metadata['Name']}/{file.name}"] = partial(_read, path)
    return entries


def _topics() -> dict[str, Opener]:
    topics = pydoc_data.topics.topics
    return {f"topics/{name}": (lambda text=text: [text]) for name, text in topics.items()}


PLACES: dict[str, Callable[[], dict[str, Opener]]] = {
    "stdlib": _stdlib,
    "docstrings": _docstrings,
    "readmes": _readmes,
    "licences": _licences,
    "topics": _topics,
}
"""The files of each subset by a name that is the same on every machine."""
