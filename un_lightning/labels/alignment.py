"""Which word of a parsed text each token belongs to, by the offsets of characters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from un_lightning.labels.decoding import TokenSpans


@dataclass(frozen=True)
class Alignment:
    """Tokens of a model and words of a parser over the same text."""

    spans: TokenSpans
    word: Int64[ndarray, " tokens"]
    """Index of each token's word: the one that covers its first character that is not white space. White
    space belongs to the first word that covers some of it, which is white space too; -1 where none does."""
    solid_from: Int64[ndarray, " ends"]
    """For each character, and for the end: where the next one that is not white space stands, or the end."""

    @classmethod
    def of(cls, spans: TokenSpans, doc: Any) -> "Alignment":
        """Align tokens with a spaCy document of the same text.

        Args:
            spans: Where the tokens lie.
            doc: The parsed text, not empty.
        """
        length = len(spans.text)
        starts, sizes = (np.asarray(column, dtype=np.int64) for column in doc.to_array(["IDX", "LENGTH"]).T)
        inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        owner = np.full(length + 1, -1, dtype=np.int64)
        owner[np.repeat(starts, sizes) + inside] = np.repeat(np.arange(len(starts)), sizes)
        solid = np.array([not character.isspace() for character in spans.text], dtype=bool)
        solid_from, owned_from = _next(solid), _next(owner[:-1] >= 0)
        first = solid_from[spans.starts]
        first = np.where(first < spans.ends, first, owned_from[spans.starts])
        return cls(spans, np.where(first < spans.ends, owner[first], -1), solid_from)

    def sentences(self, doc: Any) -> tuple[Int64[ndarray, " sentences"], Int64[ndarray, " sentences"]]:
        """Tokens with the first and with the last character of each sentence, in their order.

        White space around a sentence does not count, and sentences of white space alone are left out.

        Args:
            doc: The parsed text.
        """
        borders = np.array([sentence.start_char for sentence in doc.sents], dtype=np.int64)
        first = np.unique(self.solid_from[borders])
        first = first[first < len(self.spans.text)]
        last_before = _last(self.solid_from)
        last = last_before[np.append(first[1:], len(self.spans.text))] if len(first) else first
        starts = np.searchsorted(self.spans.ends, first, side="right")
        ends = np.searchsorted(self.spans.starts, last, side="right") - 1
        return starts, ends


def _next(marked: ndarray) -> Int64[ndarray, " ends"]:
    """For each index, and for the end: the next marked one, or the end."""
    end = len(marked)
    where = np.append(np.where(marked, np.arange(end), end), end)
    return np.minimum.accumulate(where[::-1])[::-1]


def _last(following: Int64[ndarray, " ends"]) -> Int64[ndarray, " ends"]:
    """For each end: the last marked index before it, or -1; `following` is what `_next` returns."""
    index = np.arange(len(following) - 1)
    marked = np.where(following[:-1] == index, index, -1)
    return np.concatenate([[-1], np.maximum.accumulate(marked)])
