"""Texts of tokens, and where tokens lie in the text of a document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.labels.conftest import VOCABULARY
from un_lightning.labels.decoding import SpanFinder, decode_vocabulary


@pytest.fixture(scope="module")
def find(tokenizer, decoded):
    return SpanFinder(tokenizer, decoded)


def test_texts_of_the_vocabulary(tokenizer, decoded):
    assert len(decoded) == VOCABULARY
    assert decoded[0] == "<|endoftext|>"
    assert decoded[199] == "\n"
    for text in (" the", "The", "ing"):
        (token,) = tokenizer(text)["input_ids"]
        assert decoded[token] == text
    assert [decoded[token] for token in tokenizer("é")["input_ids"]] == ["\ufffd", "\ufffd"]


def test_rows_beyond_the_tokenizer_and_below_it(tokenizer, decoded):
    assert decode_vocabulary(tokenizer, VOCABULARY + 2) == [*decoded, "", ""]
    assert decode_vocabulary(tokenizer, 100) == decoded[:100]


def test_the_space_of_sentencepiece_comes_back():
    vocabulary = {"<unk>": 0, "▁the": 1, "the": 2, "▁": 3, "▁▁": 4}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert decode_vocabulary(wrapped, 5) == ["<unk>", " the", "the", " ", "  "]


def pieces(spans):
    return [spans.text[start:end] for start, end in zip(spans.starts, spans.ends, strict=True)]


def test_characters_of_several_tokens_share_a_span(tokenizer, find):
    ids = tokenizer(" café 你好!")["input_ids"]
    spans = find(ids)
    assert spans.text == " café 你好!"
    assert pieces(spans) == [" c", "af", "é", "é", " ", "你", "你", "你", "好", "好", "好", "!"]


def test_a_character_that_is_cut_stays_broken(tokenizer, find):
    ids = tokenizer("a你")["input_ids"]
    assert pieces(find(ids[:-1])) == ["a", "\ufffd", "\ufffd"]
    assert pieces(find(ids[2:])) == ["\ufffd", "\ufffd"]
    # The rest of a character does not swallow the next one.
    assert pieces(find([*ids[2:], *tokenizer("é")["input_ids"]])) == ["\ufffd", "\ufffd", "é", "é"]


def test_no_tokens_and_empty_texts(find, tokenizer, decoded):
    assert pieces(find([])) == []
    nothing = SpanFinder(tokenizer, ["", *decoded[1:]])
    token = tokenizer(" the")["input_ids"]
    assert pieces(nothing([0, *token, 0])) == ["", " the", ""]


@given(st.text(max_size=30))
def test_spans_cover_any_text_in_order(tokenizer, find, text):
    ids = tokenizer(text)["input_ids"]
    spans = find(ids)
    assert spans.text == text
    assert len(spans.starts) == len(spans.ends) == len(ids)
    distinct = sorted(set(zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)))
    assert "".join(text[start:end] for start, end in distinct) == text
    assert all(spans.starts[i] <= spans.starts[i + 1] for i in range(len(ids) - 1))
