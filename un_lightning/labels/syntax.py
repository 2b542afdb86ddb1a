"""Syntax: what a spaCy pipeline says of the word that a token belongs to (method E.2)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy import ndarray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from un_lightning.data.loader import Batch
from un_lightning.labels.alignment import Alignment
from un_lightning.labels.decoding import SpanFinder
from un_lightning.labels.label import ContextLabels, check_names
from un_lightning.labels.pipeline import SYNTAX_KINDS, inventory, load_pipeline


_WORD_KINDS = {
    "pos": "POS",
    "tag": "TAG",
    "dep": "DEP",
    "morph": "MORPH",
    "ent": "ENT_TYPE",
    "lexeme": "IS_STOP",
}
"""spaCy's attribute behind each kind that belongs to a word."""


class _Piece(NamedTuple):
    """The tokens of one document in one block."""

    start: int
    """Flat index of the first token."""
    ids: list[int]
    opens: bool
    """The document begins here."""
    closes: bool
    """The document ends here, with its EOS."""


class SyntaxLabels:
    """Tags of the word that covers a token's first character that is not white space.

    All pieces of a word have its tags. A token of several words has those of the first. White space has the
    tags that spaCy gives to white space, where it makes a token of it, and otherwise none; so have special
    tokens. `sentence/start` and `sentence/end` are the tokens with a sentence's first and last character;
    where a block cuts a document, no sentence is said to start or end.
    """

    def __init__(
        self, nlp: Any, spans: SpanFinder, eos: int | None, labels: dict[str, tuple[str, ...]]
    ) -> None:
        """Fix the labels.

        Args:
            nlp: The pipeline.
            spans: Puts tokens together, with nothing for special ones.
            eos: The token behind every document.
            labels: What the pipeline can say, by kind.
        """
        self.nlp = nlp
        self.spans = spans
        self.eos = eos
        self.names = [f"{kind}/{name}" for kind, names in labels.items() for name in names]
        self.kinds = [kind for kind, names in labels.items() for _ in names]
        check_names(self.names, self.kinds)
        self.columns = {name: column for column, name in enumerate(self.names)}
        self.attributes = {kind: _WORD_KINDS[kind] for kind in labels if kind in _WORD_KINDS}
        self.sentences = "sentence" in labels
        self.known: dict[tuple[str, int], list[int]] = {}
        """Columns of each value of an attribute that was met."""

    def __call__(self, batch: Batch) -> Bool[Tensor, "tokens labels"]:
        """Parse a batch; every document of every block is a text of its own."""
        found = np.zeros((batch.tokens.numel(), len(self.names)), dtype=bool)
        pieces = self._pieces(batch.tokens.cpu().numpy(), batch.document.cpu().numpy())
        spans = [self.spans(piece.ids) for piece in pieces]
        with self.nlp.memory_zone():  # what it learns of new words is forgotten after the batch
            docs = self.nlp.pipe(span.text for span in spans)
            for piece, span, doc in zip(pieces, spans, docs, strict=True):
                if len(doc):
                    rows = found[piece.start : piece.start + len(piece.ids)]
                    self._fill(rows, Alignment.of(span, doc), doc, piece)
        return torch.from_numpy(found).to(batch.tokens.device)

    def _pieces(
        self, tokens: Int64[ndarray, "blocks context"], documents: Int64[ndarray, "blocks context"]
    ) -> list[_Piece]:
        """What each block has of each document, without the BOS."""
        pieces = []
        context = tokens.shape[1]
        for block, (ids, document) in enumerate(zip(tokens, documents, strict=True)):
            borders = np.flatnonzero(np.diff(document)) + 1
            for start, end in zip([0, *borders], [*borders, context], strict=True):
                if document[start] >= 0:
                    at = block * context + int(start)
                    pieces.append(
                        _Piece(at, ids[start:end].tolist(), int(start) > 1, int(ids[end - 1]) == self.eos)
                    )
        return pieces

    def _fill(
        self, rows: Bool[ndarray, "tokens labels"], aligned: Alignment, doc: Any, piece: _Piece
    ) -> None:
        """Mark the labels of a piece."""
        has = np.flatnonzero(aligned.word >= 0)
        for kind, attribute in self.attributes.items():
            values, which = np.unique(doc.to_array(attribute), return_inverse=True)
            marks = np.zeros((len(values), len(self.names)), dtype=bool)
            for row, value in enumerate(values.tolist()):
                marks[row, self._columns(kind, value)] = True
            rows[has] |= marks[which[aligned.word[has]]]
        if self.sentences:
            starts, ends = aligned.sentences(doc)
            rows[starts if piece.opens else starts[1:], self.columns["sentence/start"]] = True
            rows[ends if piece.closes else ends[:-1], self.columns["sentence/end"]] = True

    def _columns(self, kind: str, value: int) -> list[int]:
        """Labels of an attribute's value; a value that the pipeline did not announce has none."""
        if (kind, value) not in self.known:
            if kind == "lexeme":
                names = ["stop"] if value else []
            else:
                text = self.nlp.vocab.strings[value] if value else ""
                names = text.split("|") if kind == "morph" else [text]
            columns = [self.columns.get(f"{kind}/{name}") for name in names]
            self.known[kind, value] = [column for column in columns if column is not None]
        return self.known[kind, value]


def syntax_labels(
    pipeline: str,
    tokenizer: PreTrainedTokenizerBase,
    decoded: Sequence[str],
    kinds: Sequence[str] = SYNTAX_KINDS,
) -> ContextLabels:
    """Part of speech, fine tag, dependency, morphology, entity, sentence borders and stop words.

    The set of labels is what the pipeline announces, so it is fixed before the first batch.

    Args:
        pipeline: Name of an installed spaCy pipeline, such as `en_core_web_sm`.
        tokenizer: The tokenizer of the text.
        decoded: Text of every token id, from `decode_vocabulary`.
        kinds: Some of `SYNTAX_KINDS`; components that none of them needs are not run.

    Raises:
        UserError: spaCy or the pipeline is not installed, or the pipeline has none of these labels.
    """
    nlp = load_pipeline(pipeline, kinds)
    labels = inventory(nlp, kinds)
    special = set(tokenizer.all_special_ids)
    texts = ["" if token in special else text for token, text in enumerate(decoded)]
    eos = tokenizer.eos_token_id
    return SyntaxLabels(nlp, SpanFinder(tokenizer, texts), eos if isinstance(eos, int) else None, labels)
