"""Cosines in tiles, against whole tables in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import weights as reference
from un_lightning.stats.cosines import CosineSummary, unit_rows


@pytest.fixture
def rows():
    return torch.randn(7, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def columns():
    return torch.randn(40, 12, generator=torch.Generator().manual_seed(1)) + 0.3


def of(moments):
    return np.stack([value.numpy() for value in moments.values()], axis=1)


@pytest.mark.parametrize("tile", [1, 7, 40, 64])
def test_everything_matches_the_whole_table(rows, columns, tile):
    summary = CosineSummary(rows, top_k=3, bins=20, tile=tile)
    summary.update(columns[:25])
    summary.update(columns[25:])
    table = reference.cosines(rows.double().numpy(), columns.double().numpy())
    np.testing.assert_allclose(of(summary.moments()), reference.moments(table), rtol=1e-5, atol=1e-7)
    order = np.argsort(-table, axis=1)
    np.testing.assert_array_equal(summary.summary.best_index.numpy(), order[:, :3])
    np.testing.assert_array_equal(summary.summary.worst_index.numpy(), order[:, ::-1][:, :3])
    np.testing.assert_allclose(
        summary.summary.best.numpy(), np.take_along_axis(table, order[:, :3], 1), atol=1e-6
    )
    counts = [np.histogram(row, 20, (-1, 1))[0] for row in table]
    np.testing.assert_array_equal(summary.summary.histogram.numpy(), counts)


@pytest.mark.parametrize("tile", [3, 64])
def test_columns_that_do_not_count_are_nowhere(rows, columns, tile):
    valid = torch.arange(40) % 3 != 0
    columns[1] = 0  # no direction, so no cosine
    summary = CosineSummary(rows, top_k=40, bins=4, tile=tile)
    summary.update(columns, valid)
    kept = valid.clone()
    kept[1] = False
    table = reference.cosines(rows.double().numpy(), columns[kept].double().numpy())
    np.testing.assert_allclose(of(summary.moments()), reference.moments(table), rtol=1e-5, atol=1e-7)
    shown = {int(index) for index in summary.summary.best_index.flatten() if index >= 0}
    assert shown == set(np.flatnonzero(kept.numpy()))
    assert int(summary.summary.histogram.sum()) == 7 * int(kept.sum())


@pytest.mark.parametrize("tile", [2, 5, 64])
def test_a_neuron_is_not_its_own_neighbour(rows, columns, tile):
    others = columns[:9]
    summary = CosineSummary(rows, top_k=4, bins=10, tile=tile)
    summary.update(others)
    summary.update(rows, own=True)
    table = reference.cosines(rows.double().numpy(), torch.cat([others, rows]).double().numpy())
    for row in range(7):
        kept = np.delete(table[row], 9 + row)
        np.testing.assert_allclose(float(summary.summary.best[row, 0]), kept.max(), atol=1e-6)
        np.testing.assert_allclose(float(-summary.summary.worst[row, 0]), kept.min(), atol=1e-6)
        np.testing.assert_allclose(of(summary.moments())[row], reference.moments(kept[None])[0], rtol=1e-5)
        assert 9 + row not in summary.summary.best_index[row]
        assert int(summary.summary.histogram[row].sum()) == 15


def test_weighted_moments_match_weighted_averages(rows, columns):
    weights = torch.rand(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights[::4] = 0
    summary = CosineSummary(rows, 1, 4, tile=9, weights=weights)
    summary.update(columns)
    table = reference.cosines(rows.double().numpy(), columns.double().numpy())
    expected = reference.moments(table, weights.numpy())
    np.testing.assert_allclose(of(summary.weighted_moments()), expected, rtol=1e-5, atol=1e-7)


def test_a_row_without_a_direction_has_no_moments(rows, columns):
    rows[3] = 0
    rows[4, 0] = torch.nan
    summary = CosineSummary(rows, 2, 4, 8)
    summary.update(columns)
    assert summary.valid.tolist() == [True, True, True, False, False, True, True]
    for value in summary.moments().values():
        assert torch.isnan(value[3:5]).all()
        assert torch.isfinite(value[:3]).all()


@given(st.floats(1e-15, 1e15))
def test_length_does_not_matter(scale):
    rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unit_rows(rows * scale)[0], unit_rows(rows)[0])


def test_random_directions_have_the_kurtosis_of_the_paper():
    """The null of method I.5, 3.04, at the shape of GPT-2 medium.

    A direction's cosines with independent columns in d dimensions have kurtosis 3 d / (d + 2), with a
    standard error of √(24 / V) = 0.02; trained columns share directions, which adds what is left to 3.04.
    """
    generator = torch.Generator().manual_seed(0)
    W_U = torch.randn(50257, 1024, generator=generator)
    summary = CosineSummary(torch.randn(4, 1024, generator=generator), 1, 4, tile=8192)
    summary.update(W_U)
    kurtosis = float(summary.moments()["kurt"].mean())
    assert kurtosis == pytest.approx(3 * 1024 / 1026, abs=0.04)
    assert kurtosis == pytest.approx(3.0394, abs=0.07)
