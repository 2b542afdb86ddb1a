"""Documents of any length become blocks of one length (method section A)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32
from numpy import ndarray


class Block(NamedTuple):
    """`context` tokens of one subset: a BOS, then documents that are separated by EOS."""

    tokens: Int32[ndarray, " context"]
    document: Int32[ndarray, " context"]
    """Index of each token's document; -1 at the BOS, and the ended document's index at its EOS."""
    offset: int
    """Tokens of the first document that lie in earlier blocks."""
    subset: str


class Packer:
    """Cuts a stream of documents into blocks, with one line of documents for each subset.

    A document that does not fit goes on in the next block of its subset, and no token is dropped except
    those that the stream leaves over at its end (fewer than a block for each subset).
    """

    def __init__(self, context: int, bos: int, eos: int) -> None:
        self.context = context
        self.bos = bos
        self.eos = eos
        self.left: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
        """For each subset: tokens and documents not yet in a block, and the offset of the first one."""

    def add(self, ids: list[int], document: int, subset: str, ends: bool = True) -> list[Block]:
        """Append tokens of a document, and an EOS where it ends; return the blocks that they complete."""
        ids = [*ids, self.eos] if ends else ids
        empty = np.empty(0, dtype=np.int32)
        tokens, documents, offset = self.left.get(subset, (empty, empty, 0))
        tokens = np.concatenate([tokens, np.asarray(ids, dtype=np.int32)])
        documents = np.concatenate([documents, np.full(len(ids), document, dtype=np.int32)])
        body = self.context - 1
        blocks = []
        start = 0
        while len(tokens) - start >= body:
            part = slice(start, start + body)
            blocks.append(
                Block(
                    np.concatenate([[self.bos], tokens[part]]).astype(np.int32),
                    np.concatenate([[-1], documents[part]]).astype(np.int32),
                    offset,
                    subset,
                )
            )
            start += body
            offset = self._offset(documents, start, offset)
        self.left[subset] = (tokens[start:], documents[start:], offset)
        return blocks

    def _offset(self, documents: Int32[ndarray, " tokens"], start: int, offset: int) -> int:
        """How many tokens of the document at `start` lie before it; `offset` is that of the last block."""
        body = self.context - 1
        if start == len(documents) or documents[start] != documents[start - 1]:
            return 0
        run = int((documents[start - body : start] == documents[start]).sum())
        return run + (offset if run == body else 0)
