"""Histograms against counting value by value, and quantiles against order statistics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import activations as reference
from tests.stats.ranks import continued, heavy, merge, splits
from un_lightning.stats.histogram import Histogram
from un_lightning.stats.published_bins import BINS, HIGH, LOW, published_moments


LEVELS = [0.0, 0.001, 0.05, 0.5, 0.9, 0.999, 1.0]


def ranges(values, widen=0.5):
    low, high = values[:80].amin(0), values[:80].amax(0)
    margin = (widen * (high - low)).clamp(min=1e-3)
    return low - margin, high + margin


def add(histogram, values, sizes=(1000,), group=0):
    for rows in splits(len(values), sizes):
        for columns in (slice(0, 5), slice(5, values.shape[1])):
            histogram.add(group, columns, values[rows, columns])
    return histogram


@pytest.mark.parametrize("sizes", [(1,), (13, 200), (1000,)])
def test_counts_equal_counting(sizes):
    values = heavy()
    low, high = ranges(values, widen=0)  # so that some lie outside
    histogram = add(Histogram(low, high, 32), values, sizes)
    counts = histogram.counts().numpy()
    assert (counts.sum(1) == len(values)).all()
    for unit in range(values.shape[1]):
        edges = np.linspace(low[unit].item(), high[unit].item(), 33)
        # Between two edges, both moved by what float32 resolves, there are as many or fewer and more values.
        column = values[:, unit].double().numpy()
        slack = 1e-5 * (edges[-1] - edges[0])
        below = np.concatenate([[0], counts[unit].cumsum()])[1:-1]
        assert (below >= np.searchsorted(np.sort(column), edges - slack)).all()
        assert (below <= np.searchsorted(np.sort(column), edges + slack)).all()
    assert (histogram.tensors["min"][0] == values.amin(0)).all()
    assert (histogram.tensors["max"][0] == values.amax(0)).all()
    assert counts[:, 0].sum() + counts[:, -1].sum() > 0


def test_quantiles_are_within_a_bin_of_the_order_statistics():
    values = heavy(3000)
    low, high = ranges(values)
    histogram = add(Histogram(low, high, 256), values)
    found = histogram.quantiles(LEVELS).numpy()
    for level, row in zip(LEVELS, found, strict=True):
        expected = reference.order_statistic(values.numpy(), level)
        inside = (expected >= low.numpy()) & (expected <= high.numpy())
        assert (np.abs(row - expected)[inside] <= 1.001 * histogram.bin_width.numpy()[inside]).all()
        assert inside.mean() > 0.5
    assert (found[0] <= reference.order_statistic(values.numpy(), 0.001)).all()
    assert (np.diff(found, axis=0) >= 0).all()
    np.testing.assert_allclose(found[-1], values.amax(0).numpy())


def test_a_constant_is_its_own_quantile():
    values = torch.full((50, 6), 7.25)
    found = add(Histogram(torch.full((6,), 7.0), torch.full((6,), 7.5), 10), values).quantiles(LEVELS)
    assert (found == 7.25).all()


def test_values_on_edges_fall_into_the_closed_side():
    """Edges 0, 1, 2 are exact in float32."""
    values = torch.tensor([[-1.0], [0.0], [0.5], [1.0], [2.0], [3.0]])
    low, high = torch.zeros(1), torch.full((1,), 2.0)
    left, right = Histogram(low, high, 2), Histogram(low, high, 2, right_closed=True)
    for histogram in (left, right):
        histogram.add(0, slice(0, 1), values)
    assert left.counts().tolist() == [[1, 2, 1, 2]]
    assert right.counts().tolist() == [[2, 2, 1, 1]]


def test_nothing_is_lost_or_out_of_range_where_values_are_not_finite():
    values = heavy(40)
    values[3, 5], values[4, 6], values[5, 7] = torch.nan, torch.inf, -torch.inf
    low, high = ranges(heavy(80))
    histogram = add(Histogram(low, high, 16), values)
    assert (histogram.counts().sum(1) == 40).all()
    assert histogram.quantiles(LEVELS)[:, 5:8].isnan().all()
    assert histogram.quantiles(LEVELS)[:, 8:].isfinite().all()


def test_groups_are_apart_and_add_up():
    values = heavy()
    low, high = ranges(values)
    histogram = Histogram(low, high, 16, groups=2)
    add(histogram, values[:300], group=0)
    add(histogram, values[300:], group=1)
    whole = add(Histogram(low, high, 16), values)
    assert (histogram.counts() == whole.counts()).all()
    alone = add(Histogram(low, high, 16), values[300:])
    assert (histogram.counts(1) == alone.counts()).all()
    torch.testing.assert_close(histogram.quantiles(LEVELS, 1), alone.quantiles(LEVELS))


def test_a_group_without_tokens_has_no_quantiles():
    empty = Histogram(torch.zeros(3), torch.ones(3), 4, groups=2)
    empty.add(0, slice(0, 3), torch.empty(0, 3))
    assert empty.quantiles(LEVELS).isnan().all()
    assert empty.quantiles([]).shape == (0, 3)


def test_half_on_each_rank_with_a_stop_in_the_middle_is_the_same():
    values = heavy()
    low, high = ranges(values)
    fresh = lambda: Histogram(low, high, 16)
    whole = add(fresh(), values)
    ranks = [add(continued(add(fresh(), values[r:200:2]), fresh()), values[200 + r :: 2]) for r in range(2)]
    merge(ranks)
    for rank in ranks:
        for name, tensor in whole.tensors.items():
            assert (rank.tensors[name] == tensor).all()


@given(st.permutations(range(50)), st.lists(st.integers(1, 30), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_neither_order_nor_split_matters(order, sizes):
    values = heavy(50, 8)
    low, high = ranges(values)
    whole, other = (
        add(Histogram(low, high, 9), values),
        add(Histogram(low, high, 9), values[list(order)], sizes),
    )
    assert (whole.counts() == other.counts()).all()


def test_published_bins_equal_the_reference_scripts_definitions():
    """Method C.1, C.4: the moments of bin centres, and a sparsity that counts z > -0.098."""
    values = 3 * heavy(900) / 2
    values[:, 5] = torch.linspace(-0.3, 0.3, 900)
    fixed = lambda value: torch.full((values.shape[1],), value)
    histogram = Histogram(fixed(LOW), fixed(HIGH), BINS, right_closed=True)
    found = published_moments(add(histogram, values).counts())
    expected = reference.published(values.numpy())
    varied = expected["var"] > 1e-9
    for name in ("mean", "var", "sparsity"):
        np.testing.assert_allclose(found[name].numpy(), expected[name], rtol=1e-9, atol=1e-9)
    for name in ("skew", "kurt"):
        np.testing.assert_allclose(found[name].numpy()[varied], expected[name][varied], rtol=1e-8, atol=1e-9)
    exact = reference.frequency(values.numpy())
    assert found["sparsity"][5] - exact[5] == pytest.approx(0.098 / 0.6, abs=0.002)
