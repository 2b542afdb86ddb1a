"""AUROC and F1 from histograms against scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import f1_score, roc_auc_score

from tests.reference import families as reference
from un_lightning.stats.operating_curve import separate
from un_lightning.stats.wilson import wilson_interval


BINS = 40


def case(seed, share=0.2, shift=1.0):
    generator = np.random.default_rng(seed)
    labels = generator.random(800) < share
    values = generator.normal(size=800) + shift * labels
    place = np.clip((values + 4) * BINS / 9, 0, BINS - 1).astype(int)
    count = lambda chosen: torch.from_numpy(np.bincount(place[chosen], minlength=BINS))[None]
    return values, labels, place, count(labels), count(~labels)


@pytest.mark.parametrize(("share", "shift"), [(0.2, 1.0), (0.01, 3.0), (0.7, -2.0), (0.5, 0.0)])
def test_auroc_and_f1_equal_scikit_learn(share, shift):
    values, labels, place, having, lacking = case(3, share, shift)
    found = separate(having, lacking, torch.tensor([False]))
    assert found.auroc.item() == pytest.approx(roc_auc_score(labels, place), abs=1e-12)
    assert abs(found.auroc.item() - roc_auc_score(labels, values)) <= found.auroc_error.item()
    assert found.f1.item() == pytest.approx(reference.f1(place, labels), abs=1e-12)
    assert found.f1.item() == pytest.approx(f1_score(labels, place >= found.bin.item()), abs=1e-12)
    assert found.f1.item() <= reference.f1(values, labels) + 1e-12


def test_a_label_below_the_threshold():
    _, labels, place, having, lacking = case(5, 0.3, -2.0)
    found = separate(having, lacking, torch.tensor([True]))
    assert found.f1.item() == pytest.approx(reference.f1(-place, labels), abs=1e-12)
    assert found.f1.item() == pytest.approx(f1_score(labels, place < found.bin.item()), abs=1e-12)
    assert found.auroc.item() == pytest.approx(roc_auc_score(labels, place), abs=1e-12)


def test_perfect_separation_and_nothing_to_separate():
    having, lacking = torch.tensor([[0, 0, 4], [0, 0, 0]]), torch.tensor([[5, 3, 0], [1, 1, 1]])
    found = separate(having, lacking, torch.tensor([False, False]))
    assert found.auroc[0] == found.f1[0] == 1
    assert found.auroc_error[0] == 0
    assert found.bin[0] == 2
    assert torch.stack([found.auroc[1], found.auroc_error[1], found.f1[1]]).isnan().all()


@pytest.mark.parametrize(("count", "total"), [(0, 5), (5, 5), (3, 50), (700, 2000)])
def test_wilson_equals_scipy(count, total):
    low, high = wilson_interval(np.array([count]), np.array([total]))
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose([low[0], high[0]], [expected.low, expected.high], atol=1e-12)


def test_wilson_of_nothing_is_nan():
    assert np.isnan(wilson_interval(np.array([0]), np.array([0]))).all()
