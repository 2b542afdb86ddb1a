"""Alignment by offsets, against a search through the characters one by one."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.labels.alignment import Alignment
from un_lightning.labels.decoding import SpanFinder


@pytest.fixture(scope="module")
def nlp():
    """Words and sentences by rules, which need no model."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return nlp


@pytest.fixture(scope="module")
def find(tokenizer, decoded):
    return SpanFinder(tokenizer, ["", *decoded[1:]])


def word_of(doc, text, start, end):
    """The word of the first character that is not white space, or of the first that any word covers."""
    inside = range(start, end)
    covering = lambda c: next((word.i for word in doc if word.idx <= c < word.idx + len(word.text)), -1)
    solid = [c for c in inside if not text[c].isspace()]
    return covering(solid[0]) if solid else next((covering(c) for c in inside if covering(c) >= 0), -1)


def borders_of(doc, text, spans):
    """Sets of tokens with the first and with the last character of a sentence."""
    starts, ends = set(), set()
    for sentence in doc.sents:
        solid = [c for c in range(sentence.start_char, sentence.end_char) if not text[c].isspace()]
        if solid:
            has = lambda c: [
                i for i, (s, e) in enumerate(zip(spans.starts, spans.ends, strict=True)) if s <= c < e
            ]
            starts.add(has(solid[0])[0])
            ends.add(has(solid[-1])[-1])
    return starts, ends


PARTS = ["The cat", " sat.", "\n\n", "  ", "It's", " 你好", " é", "! ", "?", "don't", "\t"]
texts = st.one_of(
    st.text(min_size=1, max_size=25),
    st.lists(st.sampled_from(PARTS), min_size=1).map("".join),
)


@given(texts)
def test_words_and_sentences_are_those_of_a_plain_search(nlp, find, tokenizer, text):
    ids = [0, *tokenizer(text)["input_ids"], 0]
    spans = find(ids)
    doc = nlp(spans.text)
    aligned = Alignment.of(spans, doc)
    for token, (start, end) in enumerate(zip(spans.starts, spans.ends, strict=True)):
        assert aligned.word[token] == word_of(doc, spans.text, start, end)
    assert aligned.word[0] == aligned.word[-1] == -1  # nothing is written for special tokens
    starts, ends = aligned.sentences(doc)
    assert len(starts) == len(ends)
    assert (set(starts.tolist()), set(ends.tolist())) == borders_of(doc, spans.text, spans)


def test_a_token_of_several_words_belongs_to_the_first(nlp, find, tokenizer):
    ids = [token for token in range(4096) if find.decoded[token] == '("']
    spans = find(ids)
    doc = nlp(spans.text)
    assert [word.text for word in doc] == ["(", '"']
    assert Alignment.of(spans, doc).word.tolist() == [0]
