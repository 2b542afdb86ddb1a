"""Correlations of labels and units against group variances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from tests.reference import families as reference
from tests.stats.ranks import continued, heavy, merge, splits
from un_lightning.stats.best_labels import best_labels, best_units
from un_lightning.stats.followed_labels import NONE
from un_lightning.stats.label_sums import LabelSums, label_correlations
from un_lightning.stats.moments import Moments


CPU = torch.device("cpu")
LABELS = 6


def drawn(tokens=700, seed=1):
    """Labels from rare to frequent, the first one of no token and the last one of all."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.tensor([0.0, 0.02, 0.1, 0.5, 0.9, 1.0])
    return torch.rand(tokens, LABELS, generator=generator) < shares


def add(sums, moments, values, labels, sizes):
    for part in splits(len(values), sizes):
        sums.add_labels(labels[part])
        for columns in (slice(0, 9), slice(9, values.shape[1])):
            own = values[part, columns].contiguous()
            sums.add(columns, labels[part].T.to(own.dtype), own)
            moments.add(0, columns, own)
    return sums, moments


def fresh(units=24):
    return LabelSums(LABELS, units, CPU), Moments(1, units, CPU, order=2, firing=False)


def correlations(sums, moments, tokens, units=24):
    shape = moments.shape(torch.zeros(units))
    return label_correlations(sums.sum, sums.count, tokens, shape.mean, shape.var)


def correlated(values, labels):
    sums, moments = LabelSums(labels.shape[1], values.shape[1], CPU), fresh(values.shape[1])[1]
    sums.add_labels(labels)
    sums.add(slice(None), labels.T.to(values.dtype), values)
    moments.add(0, slice(None), values)
    return correlations(sums, moments, len(values), values.shape[1]).numpy()


@pytest.mark.parametrize("sizes", [(1,), (64, 3), (1000,)])
def test_squares_are_the_reduction_in_variance(sizes):
    values, labels = heavy(), drawn()
    values = values - values.mean(0)  # as the pilot's mean does
    corr = correlations(*add(*fresh(), values, labels, sizes), len(values)).numpy()
    assert np.isnan(corr[[0, -1]]).all()
    assert np.isnan(corr[:, [0, 4]]).all()  # constant units
    kept = [1, 2, 3, *range(5, 24)]
    having, own = labels[:, 1:-1].numpy(), values[:, kept].numpy()
    # float32 products of heavy tails: 1e-6 of a correlation.
    expected = reference.reduction_in_variance(own, having)
    np.testing.assert_allclose(np.square(corr[1:-1][:, kept]), expected, atol=2e-6)
    assert (np.sign(corr[1:-1][:, kept]) == np.sign(reference.difference(own, having))).all()


def test_it_is_the_r2_of_the_group_means():
    """scikit-learn's R² of predicting each value by the mean of those with, or without, its label."""
    values, labels = torch.randn(300, 1, dtype=torch.float64), drawn(300)[:, 2:3]
    having = labels[:, 0]
    predicted = torch.where(having, values[having].mean(), values[~having].mean())
    r2 = r2_score(values[:, 0].numpy(), predicted.numpy())
    assert correlated(values, labels)[0, 0] ** 2 == pytest.approx(r2, abs=1e-12)


def test_ranks_and_resuming_change_nothing():
    values, labels = heavy(), drawn()
    whole = add(*fresh(), values, labels, (100,))
    parts = [add(*fresh(), values[own], labels[own], (50,)) for own in (slice(0, 300), slice(300, None))]
    merge([sums for sums, _ in parts])
    torch.testing.assert_close(parts[0][0].sum, whole[0].sum, rtol=1e-5, atol=1e-3)
    assert (parts[0][0].count == whole[0].count).all()
    stopped = add(*fresh(), values[:300], labels[:300], (100,))
    again = [continued(old, new) for old, new in zip(stopped, fresh(), strict=True)]
    add(*again, values[300:], labels[300:], (100,))
    torch.testing.assert_close(again[0].sum, whole[0].sum, rtol=1e-12, atol=1e-9)


finite = st.floats(-100, 100, allow_nan=False)


@given(st.integers(0, 1000), finite.filter(lambda a: abs(a) > 0.01), finite)
def test_affine_changes_and_complements_leave_the_reduction(seed, scale, shift):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    labels = torch.rand(60, 2, generator=generator) < 0.3
    labels[0], labels[1] = True, False
    corr = correlated(values, labels)
    changed = correlated(scale * values + shift, labels)
    np.testing.assert_allclose(changed, np.sign(scale) * corr, atol=1e-6)
    np.testing.assert_allclose(correlated(values, ~labels), -corr, atol=1e-12)
    assert (np.abs(corr) <= 1).all()


def test_a_unit_that_is_the_label_is_explained_whole():
    labels = drawn()[:, 1:-1]
    copies = torch.cat([labels.double(), -3 * labels.double() + 7], 1)
    corr = correlated(copies, labels)
    np.testing.assert_allclose(np.diag(corr[:, :4]), 1, atol=1e-12)
    np.testing.assert_allclose(np.diag(corr[:, 4:]), -1, atol=1e-12)


def test_best_labels_and_units():
    corr = torch.tensor(
        [[0.1, -0.9, torch.nan], [0.1, 0.2, torch.nan], [0.5, 0.95, torch.nan], [0.0, 0.0, 0.3]],
        dtype=torch.float64,
    )
    best = best_labels(corr, torch.tensor([0, 0, 1, 3]), 4)
    assert best.label.tolist() == [[0, 0, NONE], [2, 2, NONE], [NONE] * 3, [NONE, NONE, 3]]
    np.testing.assert_allclose(best.corr[:, 1], [-0.9, 0.95, 0, 0])
    assert best.leading(3).tolist() == [[2, 0, NONE], [2, 0, NONE], [3, NONE, NONE]]
    assert best.leading(6).shape == (3, 6)
    values, units = best_units(corr, 2)
    assert units[0].tolist() == [1, 0]
    assert values[3, 0] == 0.3
