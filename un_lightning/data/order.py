"""A seeded order of documents, in which any token budget is a sample of all of them.

Every document gets a key, the hash of its name and a seed, and documents come in the order of their keys. So
a larger budget begins with the documents of a smaller one, all files and subsets come in proportion, and
neither the order of the files nor the machine matters. A source is read as often as its text is larger than
what is held at once, each time for the documents with the next larger keys.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from un_lightning.data.documents import stable_hash
from un_lightning.data.records import Candidate


T = TypeVar("T")

HELD_CHARACTERS = 200_000_000
"""Characters of text that are held at once."""


def order_key(name: str, seed: int) -> int:
    """A document's place in the order: a hash apart from the one that holds documents out."""
    return stable_hash(f"{seed}/{name}")


def in_seeded_order(
    candidates: Callable[[Callable[[str], bool]], Iterator[Candidate]],
    seed: int,
    characters: int = HELD_CHARACTERS,
) -> Iterator[Candidate]:
    """All documents of a source in the order of their keys.

    Args:
        candidates: Reads the source from its beginning and yields documents whose names are wanted,
            by the function that it is given; called until nothing is left.
        seed: Seed of the order.
        characters: How much to hold at once. The order does not depend on it.

    Yields:
        The documents.
    """
    last: tuple[int, str] | None = None
    complete = False
    while not complete:
        held = _Smallest(characters, last, seed)
        for candidate in candidates(held.wants):
            held.offer(candidate)
        chosen = held.sorted()
        complete = not held.dropped
        for key, candidate in chosen:
            last = (key, candidate.name)
            yield candidate


def in_turn(sources: Iterator[tuple[str, Iterable[T]]], at_once: int) -> Iterator[tuple[str, T]]:
    """What several sources hold, one of each open source at a time.

    Args:
        sources: Names, and what each source holds; where one ends, the next is opened.
        at_once: How many are open.

    Yields:
        `<name>#<number within its source>`, and what is there.
    """
    opened: list[tuple[str, Iterator[tuple[int, T]]]] = []
    while True:
        for name, source in islice(sources, at_once - len(opened)):
            opened.append((name, enumerate(source)))
        if not opened:
            return
        for entry in list(opened):
            found = next(entry[1], None)
            if found is None:
                opened.remove(entry)
            else:
                yield f"{entry[0]}#{found[0]}", found[1]


class _Smallest:
    """The documents with the smallest keys after `last` that together have at least so many characters."""

    def __init__(self, characters: int, last: tuple[int, str] | None, seed: int) -> None:
        self.characters = characters
        self.last = last
        self.seed = seed
        self.held: list[tuple[int, int, str, Candidate]] = []
        """A heap with the largest key first: keys are stored negated."""
        self.size = 0
        self.offered = 0
        self.dropped = False

    def wants(self, name: str) -> bool:
        """Whether a document of this name could still be one of them."""
        key = order_key(name, self.seed)
        if self.last is not None and (key, name) <= self.last:
            return False
        if self.size >= self.characters and key > -self.held[0][0]:
            self.dropped = True
            return False
        return True

    def offer(self, candidate: Candidate) -> None:
        """Take a document that is wanted, and let go those that it makes superfluous."""
        key = order_key(candidate.name, self.seed)
        self.offered += 1
        heapq.heappush(self.held, (-key, -self.offered, candidate.name, candidate))
        self.size += candidate.size
        while len(self.held) > 1 and self.size - self.held[0][3].size >= self.characters:
            self.size -= heapq.heappop(self.held)[3].size
            self.dropped = True

    def sorted(self) -> list[tuple[int, Candidate]]:
        """The documents in the order of their keys."""
        return [(-key, candidate) for key, _, _, candidate in sorted(self.held, key=lambda h: (-h[0], h[2]))]
