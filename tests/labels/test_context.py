"""Labels of the token before, of the subset and of the position, on batches of a real store."""

import json

import numpy as np
import pytest
import torch

from tests.labels.conftest import EOS, VOCABULARY, batch_of
from un_lightning.config import DataConfig, DataSource
from un_lightning.data.loader import BlockBatches
from un_lightning.data.prepare import prepare_store
from un_lightning.data.store import Store
from un_lightning.labels import (
    ContextLabels,
    TokenLabels,
    position_labels,
    previous_labels,
    previous_tokens,
    subset_labels,
    vocabulary_labels,
)


CONTEXT = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory, tokenizer):
    """Documents of one to thirty words in two subsets, each of its own letter."""
    folder = tmp_path_factory.mktemp("labels")
    records = [
        {"text": " ".join([chr(ord("a") + n % 26)] * (1 + n * 7 % 30)), "set": "xy"[n % 2]} for n in range(80)
    ]
    (folder / "text.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    config = DataConfig(
        source=DataSource.files,
        path=str(folder / "text.jsonl"),
        subset_column="set",
        min_characters=0,
        context=CONTEXT,
        tokens=600,
        store=str(folder / "stores"),
    )
    return Store(prepare_store(config, tokenizer))


@pytest.fixture(scope="module")
def batch(store):
    return BlockBatches(store, np.arange(store.blocks), store.blocks, (EOS,), EOS)[0]


@pytest.fixture(scope="module")
def letters(decoded):
    return vocabulary_labels(decoded, [EOS]).of_kinds(["letter", "type"])


def test_the_previous_token_is_of_the_same_document(batch):
    previous = previous_tokens(batch).reshape(batch.tokens.shape)
    borders = 0
    for block in range(len(batch.tokens)):
        for position in range(CONTEXT):
            before = position - 1
            same = position > 1 and batch.document[block, before] == batch.document[block, position]
            expected = int(batch.tokens[block, before]) if same else -1
            assert previous[block, position] == expected
            borders += position > 1 and not same
    assert borders > 20  # documents do end inside blocks
    # Neither an EOS nor a BOS is before anything.
    assert EOS not in previous


def test_previous_labels_are_those_of_the_previous_token(batch, letters):
    labels = previous_labels(letters)
    assert isinstance(labels, ContextLabels)
    assert labels.names[:2] == ["previous/type/special", "previous/type/broken_utf8"]
    assert labels.kinds[0] == "previous/type"
    found = labels(batch)
    previous = previous_tokens(batch)
    assert found.shape == (batch.tokens.numel(), len(letters.names))
    assert not found[previous < 0].any()
    torch.testing.assert_close(found[previous >= 0], letters.matrix[previous[previous >= 0]])
    # Every document repeats one letter, so a label from another document would be another letter.
    own = letters.matrix[batch.tokens.flatten()]
    columns = [index for index, kind in enumerate(letters.kinds) if kind == "letter"]
    not_ended = batch.tokens.flatten() != EOS
    assert not (found & ~own)[not_ended][:, columns].any()
    assert found[:, columns].any()


def test_a_rolled_label_would_have_crossed_documents(batch, letters):
    """Method defect E1: the flat neighbour of a first position is the last token of another block."""
    rolled = letters.matrix[batch.tokens.flatten().roll(1)]
    found = previous_labels(letters)(batch)
    first = torch.arange(len(found)) % CONTEXT == 0
    assert rolled[first].any()
    assert not found[first].any()


def test_an_eos_is_preceded_by_the_document_that_it_ends():
    batch = batch_of([[EOS, 5, 6, EOS, 7, EOS]], [[-1, 0, 0, 0, 1, 1]])
    assert previous_tokens(batch).tolist() == [-1, -1, 5, 6, -1, 7]


def test_subsets(store, batch):
    labels = subset_labels(store.subsets)
    assert labels.names == ["subset/x", "subset/y"]
    found = labels(batch).reshape(*batch.tokens.shape, 2)
    for block in range(len(batch.tokens)):
        expected = [store.subsets[int(batch.subset[block])] == name for name in "xy"]
        assert (found[block] == torch.tensor(expected)).all()
    assert found.any(0).any(0).all()


@pytest.mark.parametrize(
    ("context", "names"),
    [
        (2, ["1"]),
        (3, ["1", "2"]),
        (4, ["1", "2-3"]),
        (16, ["1", "2-3", "4-7", "8-15"]),
        (17, ["1", "2-3", "4-7", "8-15", "16"]),
        (127, ["1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-126"]),
    ],
)
def test_ranges_of_positions(context, names):
    assert position_labels(context).names == [
        *(f"position/{name}" for name in names),
        "position/document_start",
    ]


def test_every_position_behind_the_bos_is_in_one_range(batch):
    labels = position_labels(CONTEXT)
    found = labels(batch).reshape(*batch.tokens.shape, -1)
    ranges, start = found[..., :-1], found[..., -1]
    assert not found[:, 0].any()
    assert (ranges[:, 1:].sum(-1) == 1).all()
    assert ranges[:, 5].any(0).tolist() == [False, False, True, False]
    expected = torch.zeros_like(start)
    expected[:, 2:] = batch.tokens[:, 1:-1] == EOS  # an EOS ends a document, so the next token begins one
    torch.testing.assert_close(start, expected)


def test_labels_follow_the_batch_to_its_device():
    labels = TokenLabels(["a/x"], ["a"], torch.ones(VOCABULARY, 1, dtype=torch.bool))
    batch = batch_of([[EOS, 5, 6]], [[-1, 0, 0]])
    batch.tokens, batch.document, batch.counted = (
        part.to("meta") for part in (batch.tokens, batch.document, batch.counted)
    )
    batch.subset = batch.subset.to("meta")
    for made in (previous_labels(labels), subset_labels(["a", "b"]), position_labels(3)):
        assert made(batch).device.type == "meta"
