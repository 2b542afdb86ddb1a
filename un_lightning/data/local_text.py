"""The source `local`: English and code that every installation of the project has, without a network.

Subsets: `stdlib` (modules of the standard library), `docstrings` (of the packages that this project
depends on), `readmes` and `licences` (of every installed distribution) and `topics` (Python's built-in help
pages). A document is a module, a docstring, a chapter of a README, a licence or a topic.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import metadata

from un_lightning.config import DataConfig, Order, Part
from un_lightning.data.documents import Document, belongs, chosen_facts, stable_hash
from un_lightning.data.local_places import PLACES, Opener
from un_lightning.data.order import in_turn, order_key
from un_lightning.errors import UserError


LONGEST = 100_000
"""Characters of the longest document; longer ones are cut where a paragraph ends."""

AT_ONCE = 32
"""Files of a subset that are read in turn, a document of each at a time."""


class LocalText:
    """Text of the Python installation in equal shares of its subsets, while they last; duplicates dropped.

    Files are opened only when their turn comes, so a small token budget reads few of them. A file is in
    `part` as a whole, with all documents in it.
    """

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.problems: Counter[str] = Counter()

    def fingerprint(self) -> dict[str, object]:
        """The versions of Python and of the packages that are read."""
        found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
        versions = {"python": sys.version, "packages": dict(sorted(found.items()))}
        return {"kind": "local", "documents": 2} | versions | chosen_facts(self.config)

    def __iter__(self) -> Iterator[Document]:
        """Yield the next document of whichever subset has given the least text, until all are read."""
        unknown = sorted(set(self.config.subset or ()) - PLACES.keys())
        if unknown:
            raise UserError(
                f"data.subset: no document is of {', '.join(unknown)}; there are {', '.join(PLACES)}"
            )
        seen: set[int] = set()
        entries = {name: self._documents(name, seen) for name in self.config.subset or PLACES}
        given = dict.fromkeys(entries, 0)
        while given:
            subset = min(given, key=lambda name: given[name])
            document = next(entries[subset], None)
            if document is None:
                del given[subset]
            else:
                given[subset] += len(document.text)
                yield document

    def _documents(self, subset: str, seen: set[int]) -> Iterator[Document]:
        """Documents of one subset, those of several files in turn."""
        files = ((name, self._texts(read)) for name, read in self._chosen(PLACES[subset]()))
        for name, text in in_turn(files, AT_ONCE):
            key = stable_hash(text)
            if len(text) <= self.config.min_characters or key in seen:
                self.problems["short" if key not in seen else "duplicate"] += 1
                continue
            seen.add(key)
            yield Document(name, text, subset)

    def _chosen(self, entries: dict[str, Opener]) -> list[tuple[str, Opener]]:
        """Files of this part, in a seeded order or in that of their names."""
        part, draw = self.config.part, self.config.draw
        names = [name for name in entries if belongs(name, part)]
        if part is not Part.all:
            self.problems[f"files not in data.part={part}"] += len(entries) - len(names)
        seeded = self.config.order is Order.seeded
        names.sort(key=(lambda name: order_key(name, draw)) if seeded else str)
        return [(name, entries[name]) for name in names]

    def _texts(self, read: Opener) -> Iterator[str]:
        try:
            for document in read():
                document.encode()
                yield from (text.strip() for text in cut(document, LONGEST))
        except (OSError, ValueError):
            self.problems["unreadable"] += 1


_PARAGRAPH = re.compile(r"\n\s*\n")


def cut(text: str, longest: int) -> Iterator[str]:
    """The text in parts of at most `longest` characters, which end with a paragraph where they can."""
    start = 0
    while len(text) - start > longest:
        ends = [found.end() for found in _PARAGRAPH.finditer(text, start + longest // 2, start + longest)]
        end = ends[-1] if ends else start + longest
        yield text[start:end]
        start = end
    yield text[start:]
