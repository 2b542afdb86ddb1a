"""Documents on their way to the tokenizer: in pieces, and several at once."""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from transformers import PreTrainedTokenizerBase

from un_lightning.data.documents import Document
from un_lightning.models.quiet import quiet_transformers


TOKENISE_AT_ONCE = 32
"""Documents handed to the tokenizer together, for its threads."""

PIECE = 500_000
"""Characters that are tokenised at once at most."""

_SINGLE_SPACE = re.compile(r"(?<=\S) (?=\S)")


class Piece(NamedTuple):
    """Part of a document's text."""

    text: str
    subset: str
    ends: bool
    """Whether the document ends here."""


def pieces_of(documents: Iterator[Document]) -> Iterator[Piece]:
    """Documents in pieces of at most `PIECE` characters, so that no budget tokenises a whole library.

    A piece ends before a single space if there is one, where tokenizers cut as well.
    """
    for document in documents:
        text, start = document.text, 0
        while len(text) - start > PIECE:
            found = _SINGLE_SPACE.search(text, start + PIECE // 2, start + PIECE)
            end = found.start() if found else start + PIECE
            yield Piece(text[start:end], document.subset, ends=False)
            start = end
        yield Piece(text[start:], document.subset, ends=True)


Text = TypeVar("Text", Document, Piece)


def tokenised(pieces: Iterator[Text], tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[list[int], Text]]:
    """Token ids of each piece or document; a special token's name in a text stays text."""
    for group in _grouped(pieces):
        with quiet_transformers():  # long documents are what we want, whatever the model's context
            ids = tokenizer(
                [piece.text for piece in group], add_special_tokens=False, split_special_tokens=True
            )["input_ids"]
        yield from zip(ids, group, strict=True)


def _grouped(pieces: Iterator[Text]) -> Iterator[list[Text]]:
    group: list[Text] = []
    for piece in pieces:
        group.append(piece)
        if len(group) == TOKENISE_AT_ONCE or sum(len(one.text) for one in group) >= PIECE:
            yield group
            group = []
    if group:
        yield group
