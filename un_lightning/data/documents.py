"""A document, and the rule by which documents are held out."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import xxhash

from un_lightning.config import DataConfig, Part


HELD_OUT = 10
"""One document in this many is held out."""


class Document(NamedTuple):
    """A text, the name that is the same on every machine, and the subset of the corpus it belongs to."""

    name: str
    text: str
    subset: str


@runtime_checkable
class Source(Protocol):
    """Documents in an order that is the same at every reading."""

    problems: Counter[str]
    """What was skipped and how often; filled while the source is read."""

    def __iter__(self) -> Iterator[Document]: ...

    def fingerprint(self) -> dict[str, object]:
        """Everything that a store of this source depends on, as JSON values."""
        ...


def chosen_facts(config: DataConfig) -> dict[str, object]:
    """What every source's fingerprint says of the choice and the order of its documents."""
    return {
        "part": str(config.part),
        "minimum": config.min_characters,
        "order": str(config.order),
        "draw": config.draw,
        "subset": sorted(config.subset) if config.subset else None,
    }


def stable_hash(text: str) -> int:
    """A 64-bit hash that is the same on every machine and in every run."""
    return xxhash.xxh64_intdigest(text.encode())


def belongs(name: str, part: Part) -> bool:
    """Whether the document `name` is in `part`.

    The name decides, not the text: an edited or updated document stays on its side, so text that was
    held out from a model is held out for every version of the corpus.
    """
    if part is Part.all:
        return True
    held_out = stable_hash(name) % HELD_OUT == 0
    return held_out == (part is Part.held_out)
