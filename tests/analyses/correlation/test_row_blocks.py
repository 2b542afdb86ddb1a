"""The plan of passes and devices covers everything once, and evenly."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from un_lightning import memory
from un_lightning.analyses.correlation.memory import entry_bytes, plan_memory
from un_lightning.analyses.correlation.row_blocks import largest, schedule
from un_lightning.config import Baseline, CorrelationConfig, MeasureName, Site, Split
from un_lightning.errors import UserError
from un_lightning.models.units import Units


widths = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)


@given(st.lists(widths, min_size=2, max_size=4), st.data(), st.integers(1, 5))
def test_every_row_of_every_pair_is_there_once(layers, data, devices):
    units = {name: Units(name, Site.mlp_post, own) for name, own in zip("abcd", layers, strict=False)}
    names = list(units)
    pairs = [(mine, other) for index, mine in enumerate(names) for other in names[index + 1 :]]
    strips = sum(len(units[left].widths) for left, _ in pairs)
    passes = data.draw(st.integers(1, strips))
    plan = schedule(pairs, units, passes, devices)
    assert [len(one) for one in plan] == [devices] * passes
    seen = {pair: np.zeros(units[pair[0]].count, dtype=int) for pair in pairs}
    for one in plan:
        assert any(blocks for blocks in one)
        for block in (block for blocks in one for block in blocks):
            own = units[block.left].layer_slices()[block.layers.start : block.layers.stop]
            assert (block.rows.start, block.rows.stop) == (own[0].start, own[-1].stop)
            seen[block.pair][block.rows] += 1
    assert all((rows == 1).all() for rows in seen.values())
    if passes <= len(pairs):
        of_passes = [{block.pair for blocks in one for block in blocks} for one in plan]
        assert sum(len(own) for own in of_passes) == len(pairs)
    more = min(passes + 1, strips)
    assert largest(schedule(pairs, units, more, 1), units) <= largest(schedule(pairs, units, 1, 1), units)


def test_equal_layers_are_shared_out_evenly():
    units = {name: Units(name, Site.mlp_post, (4,) * 12) for name in "abc"}
    plan = schedule([("a", "b"), ("a", "c")], units, 1, 8)
    assert [sum(block.rows.stop - block.rows.start for block in blocks) for blocks in plan[0]] == [12] * 8


MEDIUM = {name: Units(name, Site.mlp_post, (4096,) * 24) for name in "abcde"}
STAR = [("a", other) for other in "bcde"]
PRODUCT = 4 * 98_304**2


def needed(memory_gb, pairs=STAR, devices=1, **settings):
    config = CorrelationConfig(memory_gb=memory_gb and float(memory_gb), **settings)
    plan = plan_memory(
        config, pairs, MEDIUM, batch_tokens=8192, device=torch.device("cpu"), wide=torch.float32,
        devices=devices, shares=1, processes=1,
    )  # fmt: skip
    assert 4 * 98_304**2 // devices < plan.bytes <= (memory_gb or 126) * 1e9
    return plan.passes


@pytest.mark.parametrize(
    ("memory_gb", "devices", "passes"),
    [(200, 1, 1), (120, 1, 2), (80, 1, 4), (60, 1, 8), (80, 8, 1), (50, 8, 2)],
)
def test_the_published_medium_family(memory_gb, devices, passes):
    """A star of five at 98,304 neurons: 38.7 GB a pair, and some 30 GB beside them."""
    settings = {"split": Split.rows} if devices > 1 else {}
    assert needed(memory_gb, devices=devices, **settings) == passes


def test_what_cannot_fit_is_refused_with_figures_and_ways_out():
    with pytest.raises(UserError, match=r"4 pairs take 155 GB.*split=rows.*method=screen.*memory_gb"):
        needed(20)
    with pytest.raises(UserError, match=r"measures linreg, which keep a pair's products in one piece"):
        needed(50, measures=[MeasureName.linreg])


def test_more_ranks_take_no_more_for_intervals():
    """All shares together have some twenty groups, and a border of a share cuts one of them at most."""
    plans = [
        plan_memory(
            CorrelationConfig(memory_gb=200.0), STAR, MEDIUM, batch_tokens=8192, device=torch.device("cpu"),
            wide=torch.float32, devices=1, shares=shares, processes=1,
        )
        for shares in (1, 8, 16)
    ]  # fmt: skip
    assert len({plan.passes for plan in plans}) == 1
    assert plans[2].bytes < 1.03 * plans[0].bytes


def test_large_parts_are_named_where_nothing_fits():
    with pytest.raises(UserError, match=r"candidates.*jackknife=0.*data\.batch_size"):
        needed(40)
    with pytest.raises(UserError, match="can name fewer members by models.members; or share"):
        plan_memory(
            CorrelationConfig(memory_gb=10.0, jackknife=0), STAR, MEDIUM, batch_tokens=8,
            device=torch.device("cpu"), wide=torch.float32, devices=1, shares=1, processes=1,
        )  # fmt: skip


def test_without_a_figure_it_is_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _: 140_000_000_000)
    assert needed(None) == needed(126)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 4),
        ({"baseline": Baseline.permutation, "draws": 3}, 16),
        ({"measures": [MeasureName.jaccard]}, 8),
    ],
)
def test_bytes_of_each_pair_of_units(settings, expected):
    assert entry_bytes(CorrelationConfig(**settings), torch.float32) == expected
