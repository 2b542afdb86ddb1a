"""Packing documents into blocks, against a naive statement of method section A."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.data.blocks import Packer


BOS, EOS = 1, 2
documents = st.lists(
    st.tuples(st.lists(st.integers(3, 50), max_size=12), st.sampled_from(["code", "prose"])), max_size=25
)
contexts = st.integers(2, 9)


def pack(texts, context):
    """All blocks of each subset, in order, and what the packer has left over."""
    packer = Packer(context, BOS, EOS)
    blocks = {"code": [], "prose": []}
    for number, (ids, subset) in enumerate(texts):
        for block in packer.add(ids, number, subset):
            blocks[block.subset].append(block)
    return blocks, packer.left


def line_of(texts, subset):
    """(token, document, position in the document) of one subset's whole text, with each EOS."""
    return [
        (token, number, position)
        for number, (ids, other) in enumerate(texts)
        if other == subset
        for position, token in enumerate([*ids, EOS])
    ]


@given(documents, contexts)
def test_blocks_are_the_text_of_each_subset_cut_behind_a_bos(texts, context):
    blocks, left = pack(texts, context)
    body = context - 1
    for subset, found in blocks.items():
        line = line_of(texts, subset)
        assert len(found) == len(line) // body
        for index, block in enumerate(found):
            part = line[index * body : (index + 1) * body]
            assert block.tokens.tolist() == [BOS, *(token for token, _, _ in part)]
            assert block.document.tolist() == [-1, *(document for _, document, _ in part)]
            assert block.offset == part[0][2]
        rest = line[len(found) * body :]
        tokens, numbers, offset = left.get(subset, ([], [], 0))
        assert list(tokens) == [token for token, _, _ in rest]
        assert list(numbers) == [number for _, number, _ in rest]
        assert offset == (rest[0][2] if rest else 0)


@given(documents, contexts, st.data())
def test_a_packer_goes_on_from_what_another_left(texts, context, data):
    whole, _ = pack(texts, context)
    stop = data.draw(st.integers(0, len(texts)))
    first, left = pack(texts[:stop], context)
    second = Packer(context, BOS, EOS)
    second.left = left
    for number, (ids, subset) in enumerate(texts[stop:], start=stop):
        for block in second.add(ids, number, subset):
            first[block.subset].append(block)
    for subset, blocks in whole.items():
        assert [block.offset for block in first[subset]] == [block.offset for block in blocks]
        for one, other in zip(first[subset], blocks, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_array_equal(one.document, other.document)


def test_a_document_over_several_blocks():
    """Written out by hand: 4 tokens a block, documents of 7 and 2 tokens."""
    blocks = pack([([10, 11, 12, 13, 14, 15, 16], "code"), ([20, 21], "code")], 4)[0]["code"]
    assert [block.tokens.tolist() for block in blocks] == [
        [BOS, 10, 11, 12],
        [BOS, 13, 14, 15],
        [BOS, 16, EOS, 20],
    ]
    assert [block.document.tolist() for block in blocks] == [[-1, 0, 0, 0], [-1, 0, 0, 0], [-1, 0, 0, 1]]
    assert [block.offset for block in blocks] == [0, 3, 6]
