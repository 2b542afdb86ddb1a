"""Texts of single tokens, and how the tokens of a document lie in its text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from transformers import PreTrainedTokenizerBase


BROKEN = "\ufffd"
"""What stands in the text for bytes that are no whole character."""

_LONGEST = 8
"""Tokens that are looked through for the rest of a character: it has four bytes at most."""


def decode_vocabulary(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> list[str]:
    """Text of every token id; empty for ids that the tokenizer does not know.

    Decoding a token alone loses a space that sentencepiece writes as `▁`, so it is put back. Bytes of a
    byte-level tokenizer that are no whole character become U+FFFD.

    Args:
        tokenizer: The tokenizer.
        vocabulary: Rows of the model's embedding, which may be more than the tokenizer has tokens.
    """
    names = {token: name for name, token in tokenizer.get_vocab().items() if token < vocabulary}
    known = sorted(names)
    texts = [""] * vocabulary
    decoded = _decode(tokenizer, [[token] for token in known])
    for token, text in zip(known, decoded, strict=True):
        lost = _leading(names[token], "▁") - _leading(text, " ")
        texts[token] = " " * lost + text
    return texts


class TokenSpans(NamedTuple):
    """A document's text, and where each token lies in it."""

    text: str
    starts: Int64[ndarray, " tokens"]
    """Index of each token's first character."""
    ends: Int64[ndarray, " tokens"]
    """Index behind its last one."""


class SpanFinder:
    """Puts decoded tokens together, with their offsets.

    Neighbouring tokens that only together are whole characters (`é` as two bytes, say) share one span.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, decoded: Sequence[str]) -> None:
        """Take what is known of the vocabulary.

        Args:
            tokenizer: The tokenizer, for characters that span tokens.
            decoded: Text of every token id, from `decode_vocabulary`.
        """
        self.tokenizer = tokenizer
        self.decoded = decoded
        self.characters: dict[tuple[int, ...], str] = {}
        """Texts of runs of broken tokens that were met before."""

    def __call__(self, ids: Sequence[int]) -> TokenSpans:
        """Text and spans of a run of tokens."""
        pieces: list[str] = []
        sizes: list[int] = []
        """Tokens of each piece."""
        at = 0
        while at < len(ids):
            text, size = self.decoded[ids[at]], 1
            if BROKEN in text:
                text, size = self._character(ids, at)
            pieces.append(text)
            sizes.append(size)
            at += size
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        starts = np.concatenate([np.zeros(min(1, len(ends)), dtype=np.int64), ends[:-1]])
        return TokenSpans("".join(pieces), np.repeat(starts, sizes), np.repeat(ends, sizes))

    def _character(self, ids: Sequence[int], at: int) -> tuple[str, int]:
        """The shortest run of broken tokens from `at` on that is whole, or that one token alone."""
        for size in range(2, min(_LONGEST, len(ids) - at) + 1):
            if BROKEN not in self.decoded[ids[at + size - 1]]:
                break
            run = tuple(ids[at : at + size])
            if run not in self.characters:
                (self.characters[run],) = _decode(self.tokenizer, [list(run)])
            if BROKEN not in self.characters[run]:
                return self.characters[run], size
        return self.decoded[ids[at]], 1


def _leading(text: str, character: str) -> int:
    return len(text) - len(text.lstrip(character))


def _decode(tokenizer: PreTrainedTokenizerBase, windows: list[list[int]]) -> list[str]:
    texts = tokenizer.batch_decode(windows, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return list(texts)
