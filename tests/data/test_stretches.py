"""Stretches, shares and groups are made of whole documents, and depend on nothing but the text and a seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.data.blocks import Packer
from un_lightning.data.store import Store
from un_lightning.data.stretches import (
    Order,
    documents_of,
    effective_number,
    find_stretches,
    group_numbers,
    reading_order,
    share,
)
from un_lightning.data.writer import StoreWriter


CONTEXT, EOS = 9, 0
BODY = CONTEXT - 1


def made(folder, lengths, subsets=2):
    """A store of documents of these lengths, dealt out to subsets in turn."""
    writer = StoreWriter(folder / "building", Packer(CONTEXT, EOS, EOS))
    writer.resume()
    for number, length in enumerate(lengths):
        writer.add([7] * length, "abc"[number % subsets])
    writer.finish(folder / "store", {"bos": EOS, "eos": EOS})
    return Store(folder / "store")


@pytest.fixture(params=["short", "mixed", "long"])
def store(request, tmp_path):
    random = np.random.default_rng(5)
    lengths = {
        "short": random.integers(1, 8, 600),
        "mixed": np.where(random.random(300) < 0.1, 200, 12),
        "long": [900, 700, 3, 1200, 5, 2000],
    }[request.param]
    return made(tmp_path, lengths.tolist() if hasattr(lengths, "tolist") else lengths)


def everything(store):
    return documents_of(store, np.arange(store.blocks), EOS)


def test_a_document_lies_in_one_stretch_but_for_half_a_block(store):
    stretches = find_stretches(store, everything(store))
    rows = store.document.read(np.arange(store.blocks))[:, 1:]
    number = np.repeat(stretches, BODY)
    for document in np.unique(rows):
        counts = np.bincount(number[rows.ravel() == document])
        strays = np.sort(counts[counts > 0])[:-1]
        assert (strays <= BODY // 2).all()
        assert len(strays) <= 2  # at either end
    assert stretches.max() < len(np.unique(rows))
    for stretch in range(stretches.max() + 1):
        own = np.flatnonzero(stretches == stretch)
        assert len(np.unique(store.subset[own])) == 1
        siblings = np.flatnonzero(store.subset == store.subset[own[0]])
        place = np.searchsorted(siblings, own)
        assert (np.diff(place) == 1).all()


def test_borders_between_documents_are_preferred(tmp_path):
    """Documents of exactly two blocks: no stretch cuts any of them."""
    store = made(tmp_path, [2 * BODY - 1] * 40, subsets=1)
    stretches = find_stretches(store, everything(store))
    assert (stretches[::2] == stretches[1::2]).all()
    assert stretches.max() > 5


def test_what_documents_a_store_holds(store):
    found = everything(store)
    assert found.tokens.sum() == store.blocks * BODY
    rows = store.document.read(np.arange(store.blocks))
    np.testing.assert_array_equal(found.first, rows[:, 1])
    np.testing.assert_array_equal(found.last, rows[:, -1])
    np.testing.assert_array_equal(np.bincount(rows[:, 1:].ravel()), found.tokens)


@pytest.mark.parametrize(
    ("tokens", "number"), [([5, 5, 5, 0], 3.0), ([1000, 1], 1.002), ([], 0.0), ([7], 1.0)]
)
def test_kish(tokens, number):
    assert effective_number(np.array(tokens, dtype=np.int64)) == pytest.approx(number, abs=1e-3)


stretch_lists = st.lists(st.integers(1, 9), min_size=1, max_size=40)


def numbered(lengths):
    return np.repeat(np.arange(len(lengths)), lengths)


@given(stretch_lists, st.integers(1, 400), st.integers(0, 2**32))
def test_the_order_is_a_seeded_choice_of_whole_stretches(lengths, needed, seed):
    stretches = numbered(lengths)
    order = reading_order(stretches, needed, seed)
    assert len(order.blocks) == min(needed, len(stretches))
    assert len(set(order.blocks.tolist())) == len(order.blocks)
    assert (np.diff(order.stretch) >= 0).all()
    for part in np.split(order.blocks, order.borders[1:]):
        assert len(set(stretches[part].tolist())) == 1
        assert (np.diff(part) == 1).all()
    again = reading_order(stretches, needed, seed)
    np.testing.assert_array_equal(order.blocks, again.blocks)


def test_another_seed_is_another_order():
    stretches = numbered([3] * 40)
    orders = [reading_order(stretches, 100, seed).blocks for seed in (0, 1)]
    assert not np.array_equal(*orders)


@given(stretch_lists, st.integers(1, 6), st.integers(0, 99))
def test_shares_are_the_whole_once_and_of_whole_stretches(lengths, world, seed):
    order = reading_order(numbered(lengths), sum(lengths), seed)
    parts = [range(len(order.blocks))[share(order, rank, world)] for rank in range(world)]
    assert [index for part in parts for index in part] == [*range(len(order.blocks))]
    owners = [set(order.stretch[part.start : part.stop].tolist()) for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners))
    # A stretch goes where its middle lies, so no share is off by more than half a stretch at either end.
    assert all(abs(len(part) - len(order.blocks) / world) <= max(lengths) for part in parts)


@given(stretch_lists, st.integers(1, 30), st.integers(0, 99))
def test_groups_are_even_and_of_whole_stretches(lengths, count, seed):
    order = reading_order(numbered(lengths), sum(lengths), seed)
    groups = group_numbers(order, count)
    found = np.unique(groups)
    np.testing.assert_array_equal(found, np.arange(len(found)))
    assert len(found) <= min(count, len(lengths))
    assert (np.diff(groups) >= 0).all()
    for stretch in np.unique(order.stretch):
        assert len(np.unique(groups[order.stretch == stretch])) == 1
    if max(lengths) == min(lengths) and len(lengths) % count == 0:
        assert len(np.unique(np.bincount(groups))) == 1


def test_nothing_is_read():
    order = Order(np.empty(0, np.int64), np.empty(0, np.int64))
    assert len(group_numbers(order, 5)) == 0
