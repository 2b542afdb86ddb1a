"""The source `local`: English and code that every installation of the project has, without a network.

Subsets: `stdlib` (modules of the standard library), `docstrings` (of the packages that this project
depends on, one document a module), `readmes` and `licences` (of every installed distribution) and
`topics` (Python's built-in help pages).
"""

import ast
import pydoc_data.topics
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from un_lightning.config import Part
from un_lightning.data.documents import Document, belongs, stable_hash


PACKAGES = (
    "torch", "transformers", "numpy", "scipy", "pandas", "sympy", "networkx", "matplotlib", "datasets",
    "huggingface_hub", "wandb", "pytorch_lightning", "torchmetrics", "transformer_lens", "pyarrow", "fsspec",
    "omegaconf", "hydra", "pydantic", "rich", "jinja2", "requests", "aiohttp", "httpx", "PIL", "accelerate",
    "mpmath", "fontTools", "einops", "typeguard", "yaml", "click", "setuptools", "pip",
)  # fmt: skip
"""Packages whose docstrings are read; a fixed list, for parsing a whole environment takes minutes."""

_STDLIB_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "encodings", "pydoc_data"}

Opener = Callable[[], str]


class LocalText:
    """Text of the Python installation in equal shares of its subsets, while they last; duplicates dropped.

    Files are opened only when their turn comes and only if their name is in `part`, so a small token
    budget reads few files.
    """

    def __init__(self, part: Part, minimum: int) -> None:
        self.part = part
        self.minimum = minimum
        self.problems: Counter[str] = Counter()

    def fingerprint(self) -> dict[str, object]:
        """The versions of Python and of the packages that are read."""
        found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
        return {
            "kind": "local",
            "part": str(self.part),
            "minimum": self.minimum,
            "python": sys.version,
            "packages": dict(sorted(found.items())),
        }

    def __iter__(self) -> Iterator[Document]:
        """Yield the next document of whichever subset has given the least text, until all are read."""
        seen: set[int] = set()
        entries = {
            "stdlib": iter(self._chosen(_stdlib())),
            "docstrings": iter(self._chosen(_docstrings())),
            "readmes": iter(self._chosen(_readmes())),
            "licences": iter(self._chosen(_licences())),
            "topics": iter(self._chosen(_topics())),
        }
        given = dict.fromkeys(entries, 0)
        while given:
            subset = min(given, key=lambda name: given[name])
            document = self._next(subset, entries[subset], seen)
            if document is None:
                del given[subset]
            else:
                given[subset] += len(document.text)
                yield document

    def _chosen(self, entries: dict[str, Opener]) -> list[tuple[str, Opener]]:
        """Entries of this part, in the order of their names' hashes: mixed, yet the same everywhere."""
        names = sorted((n for n in entries if belongs(n, self.part)), key=stable_hash)
        return [(name, entries[name]) for name in names]

    def _next(self, subset: str, entries: Iterator[tuple[str, Opener]], seen: set[int]) -> Document | None:
        for name, read in entries:
            try:
                text = read().strip()
                key = stable_hash(text)
            except (OSError, SyntaxError, ValueError, RecursionError):
                self.problems["unreadable"] += 1
                continue
            if len(text) <= self.minimum or key in seen:
                self.problems["short" if key not in seen else "duplicate"] += 1
                continue
            seen.add(key)
            return Document(name, text, subset)
        return None


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


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
                entries[f"docstrings/{package}/{name}"] = partial(_module_docstrings, path)
    return entries


def _module_docstrings(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                parts.append(text if isinstance(node, ast.Module) else f"{node.name}\n\n{text}")
    return "\n\n".join(parts)


def _readmes() -> dict[str, Opener]:
    return {
        f"readmes/{d.metadata['Name']}": partial(_description, d)
        for d in metadata.distributions()
        if d.metadata["Name"]
    }


def _description(distribution: metadata.Distribution) -> str:
    message: Any = distribution.metadata  # an email, and its body is the README
    return str(message.get_payload() or "")


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
    return {f"topics/{name}": (lambda text=text: text) for name, text in topics.items()}
