"""The order of reading: every block once, whatever the number of ranks, the batch size and the start."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.data.blocks import Packer
from un_lightning.data.loader import BlockBatches
from un_lightning.data.store import Store
from un_lightning.data.stretches import reading_order, share
from un_lightning.data.writer import StoreWriter


BLOCKS = 211  # a prime, so that no number of ranks or batch size divides it
CONTEXT = 3
EOS, NEWLINE = 0, 7
worlds = st.integers(1, 8)
counts = st.integers(1, BLOCKS)
batch_sizes = st.integers(1, 40)
seeds = st.integers(0, 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Block i is one document of the tokens i + 10 and EOS."""
    folder = tmp_path_factory.mktemp("loader")
    writer = StoreWriter(folder / "partial", Packer(CONTEXT, EOS, EOS), shard_rows=50)
    writer.resume()
    for number in range(BLOCKS):
        writer.add([number + 10], "ab"[number % 2])
    writer.finish(folder / "store", {"bos": EOS, "eos": EOS})
    return Store(folder / "store")


STRETCHES = np.arange(BLOCKS) // 3


def batches_of(store, order, size, start=0, excluded=()):
    batches = BlockBatches(store, order, size, excluded, EOS, start)
    return [batches[index] for index in range(len(batches))]


@given(counts, worlds, batch_sizes, seeds)
def test_all_ranks_together_read_every_block_exactly_once(store, count, world, size, seed):
    order = reading_order(STRETCHES, count, seed)
    read = []
    for rank in range(world):
        for batch in batches_of(store, order.blocks[share(order, rank, world)], size):
            read += batch.blocks.tolist()
            # What is read at a block is that block's content.
            np.testing.assert_array_equal(batch.tokens[:, 1] - 10, batch.blocks)
            np.testing.assert_array_equal(batch.document[:, 1], batch.blocks)
            np.testing.assert_array_equal(batch.subset, batch.blocks % 2)
    assert sorted(read) == sorted(order.blocks.tolist())


@given(counts, worlds, batch_sizes, st.integers(0, 30))
def test_a_start_leaves_out_exactly_the_first_batches(store, count, world, size, start):
    order = reading_order(STRETCHES, count, 0)
    own = order.blocks[share(order, world - 1, world)]
    everything = [batch.blocks.tolist() for batch in batches_of(store, own, size)]
    rest = [batch.blocks.tolist() for batch in batches_of(store, own, size, start)]
    assert rest == everything[start:]


@given(st.sets(st.sampled_from([EOS, NEWLINE, *range(10, 10 + BLOCKS)]), max_size=60), batch_sizes)
def test_excluded_tokens_are_not_counted(store, excluded, size):
    order = np.arange(BLOCKS)
    total = 0
    for batch in batches_of(store, order, size, excluded=tuple(excluded)):
        wanted = ~np.isin(batch.tokens.numpy(), list(excluded))
        np.testing.assert_array_equal(batch.counted.numpy(), wanted)
        np.testing.assert_array_equal(batch.skipped.numpy(), np.flatnonzero(~wanted))
        assert batch.count == wanted.sum()
        total += batch.count
    # Each block is BOS, one token of its own and EOS.
    own = sum(token >= 10 for token in excluded)
    assert total == BLOCKS - own + (0 if EOS in excluded else 2 * BLOCKS)


def test_the_document_of_a_bos_is_none(store):
    (batch,) = batches_of(store, np.array([3, 200]), 2)
    assert batch.document.tolist() == [[-1, 3, 3], [-1, 200, 200]]


def test_indices_beyond_the_end_are_an_error(store):
    batches = BlockBatches(store, np.arange(5), 2, (), EOS, start=1)
    assert len(batches) == 2
    for index in (-1, 2):
        with pytest.raises(IndexError):
            batches[index]


@given(st.lists(st.integers(1, BLOCKS - 1), max_size=5, unique=True), batch_sizes, st.integers(0, 10))
def test_no_batch_reaches_across_a_cut(store, cuts, size, start):
    cuts = sorted(cuts)
    batches = BlockBatches(store, np.arange(BLOCKS), size, (), EOS, start, cuts)
    read = [batches[index].blocks.tolist() for index in range(len(batches))]
    for blocks in read:
        assert not any(blocks[0] < cut <= blocks[-1] for cut in cuts)
    whole = BlockBatches(store, np.arange(BLOCKS), size, (), EOS, 0, cuts)
    ends = [whole[end - 1].blocks.tolist()[-1] + 1 for end in whole.ends]
    assert ends == [*cuts, BLOCKS]
    assert len(read) == max(0, whole.ends[-1] - start)
