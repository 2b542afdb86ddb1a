"""Layers as a stream: shared out over ranks, counted, and never an empty loader."""

from types import SimpleNamespace

import pytest

from un_lightning.data.layers import Layer, Layers
from un_lightning.data.stream import loader


def of_rank(rank, world, depth=5, start=0):
    stream = Layers(depth)
    stream.start = start
    stream.trainer = SimpleNamespace(global_rank=rank, world_size=world)
    return [*stream.val_dataloader()]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ranks_share_the_layers_without_repeats(world):
    shares = [of_rank(rank, world) for rank in range(world)]
    assert sorted(batch.layer for share in shares for batch in share) == [0, 1, 2, 3, 4]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares[0][0] == Layer(0, count=1)


def test_a_resumed_rank_goes_on_and_a_finished_one_still_takes_part():
    """Lightning would leave out the report of a rank whose loader is empty."""
    assert [batch.layer for batch in of_rank(1, 2, start=1)] == [3]
    assert of_rank(1, 2, start=2) == [None]
    assert of_rank(6, 7) == [None]
    assert [*loader([])] == [None]


def test_progress_counts_layers():
    stream = Layers(4)
    assert (stream.unit, stream.total, stream.done(1, 2)) == ("layers", 4, 2)
    assert [stream.size(batch) for batch in (*stream.order, None)] == [1, 1, 1, 1, 0]
    assert stream.facts() == {"layers": 4, "tokens": 0}
