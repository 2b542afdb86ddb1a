"""Moments and firing against scipy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import activations as reference
from tests.stats.ranks import continued, heavy, merge, splits
from un_lightning.stats.moments import Moments


CPU = torch.device("cpu")
GROUPS = 3


def groups_of(tokens):
    return np.random.default_rng(1).integers(GROUPS, size=tokens)


def add(moments, values, groups, shift, sizes=(1000,)):
    for group in range(moments.tensors["count"].shape[0]):
        own = values[torch.from_numpy(groups == group)]
        for rows in splits(len(own), sizes):
            half = own.shape[1] // 2
            for columns in (slice(0, half), slice(half, own.shape[1])):
                part = own[rows, columns]
                moments.add(group, columns, part - shift[columns], (part > 0).float())
    return moments


def check(shape, values, tolerance=3e-5):
    """Third and fourth powers of heavy tails, summed in float32, keep about five digits."""
    expected = reference.moments(values.numpy())
    constant = expected["var"] < 1e-12
    assert (shape.valid.numpy() == ~constant).all()
    for name in ("mean", "var", "skew", "kurt"):
        found = getattr(shape, name).numpy()
        np.testing.assert_allclose(found[~constant], expected[name][~constant], rtol=tolerance, atol=1e-6)
    assert np.isnan(shape.skew.numpy()[constant]).all()
    assert (shape.var.numpy()[constant] == 0).all()
    np.testing.assert_allclose(shape.mean.numpy(), expected["mean"], rtol=1e-6, atol=1e-6)
    assert (shape.frequency.numpy() == reference.frequency(values.numpy())).all()
    assert (shape.tokens == len(values)).all()


@pytest.mark.parametrize("sizes", [(1,), (7, 64), (1000,)])
def test_every_group_and_the_whole_equal_scipy(sizes):
    values = heavy()
    groups = groups_of(len(values))
    shift = values[:50].mean(0)
    moments = add(Moments(GROUPS, values.shape[1], CPU), values, groups, shift, sizes)
    check(moments.shape(shift), values)
    for group in range(GROUPS):
        check(moments.shape(shift, group), values[torch.from_numpy(groups == group)])


def test_large_offsets_lose_nothing_to_a_shift():
    """A mean of 10,000 deviations: without the shift float32 fourth powers would be noise."""
    values = heavy(2000) + 1e4
    shift = values[:100].mean(0)
    moments = add(Moments(1, values.shape[1], CPU), values, np.zeros(2000), shift)
    check(moments.shape(shift), values)


def test_half_on_each_rank_with_a_stop_in_the_middle_is_the_same():
    values, shift = heavy(), heavy()[:30].mean(0)
    groups = groups_of(len(values))
    fresh = lambda: Moments(GROUPS, values.shape[1], CPU)
    ranks = []
    for rank in range(2):
        own, kinds = values[rank::2], groups[rank::2]
        first = add(fresh(), own[:100], kinds[:100], shift)
        ranks.append(add(continued(first, fresh()), own[100:], kinds[100:], shift))
    merge(ranks)
    for rank in ranks:
        check(rank.shape(shift), values)
        for group in range(GROUPS):
            check(rank.shape(shift, group), values[torch.from_numpy(groups == group)])


def test_units_that_were_ever_broken_are_nan_and_spoil_no_other():
    values = heavy()
    values[17, 5], values[18, 6] = torch.nan, torch.inf
    shift = torch.zeros(values.shape[1])
    shape = add(Moments(1, values.shape[1], CPU), values, np.zeros(len(values)), shift).shape(shift)
    for name in ("mean", "var", "skew", "kurt", "frequency"):
        assert getattr(shape, name)[5:7].isnan().all()
    assert not shape.valid[5:7].any()
    assert shape.mean[7:].isfinite().all()


def test_a_group_without_tokens_has_no_moments():
    shape = Moments(2, 3, CPU).shape(torch.zeros(3), 1)
    assert shape.mean.isnan().all()
    assert not shape.valid.any()


def test_second_order_keeps_no_more_than_mean_and_variance():
    values = heavy()
    shift = values.mean(0)
    moments = Moments(1, values.shape[1], CPU, order=2, firing=False)
    moments.add(0, slice(0, values.shape[1]), values - shift)
    shape = moments.shape(shift)
    expected = reference.moments(values.numpy())
    np.testing.assert_allclose(shape.var.numpy(), expected["var"], rtol=1e-5, atol=1e-12)
    assert shape.kurt.isnan().all()
    assert shape.frequency.isnan().all()
    assert set(moments.tensors) == {"count", "power1", "power2"}


@given(st.permutations(range(60)), st.lists(st.integers(1, 40), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_neither_order_nor_split_matters(order, sizes):
    values = heavy(60, 8)
    shift = values.mean(0)
    groups = np.zeros(60)
    whole = add(Moments(1, 8, CPU), values, groups, shift).shape(shift)
    other = add(Moments(1, 8, CPU), values[list(order)], groups, shift, sizes).shape(shift)
    for one, two in zip(whole, other, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-5, atol=1e-6, equal_nan=True)
