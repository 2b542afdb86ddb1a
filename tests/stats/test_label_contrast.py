"""What labels explain, against scipy one neuron and label at a time."""

import numpy as np
import pytest
import torch

from tests.reference import prediction as reference
from tests.reference.weights import cosines
from un_lightning.stats.label_contrast import LabelContrast, label_contrast
from un_lightning.stats.vocabulary_moments import vocabulary_moments


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(300, 10, generator=generator, dtype=torch.float64)  # more than go at a time
    table = torch.randn(257, 10, generator=generator, dtype=torch.float64)
    labels = torch.rand(257, 6, generator=generator) < torch.tensor([0.05, 0.2, 0.5, 0.9, 0.0, 1.0])
    table[labels[:, 0]] += 2 * rows[0]
    return rows, table, labels


@pytest.mark.parametrize("tile", [10, 256, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 5e-4)])
def test_measures_match_scipy(problem, tile, dtype, tolerance):
    """In float32 the part without a label is a difference of two sums, each good to some 1e-6."""
    rows, table, labels = problem
    moments = vocabulary_moments(rows, table)["cosine"]
    found = label_contrast(rows.to(dtype), table.to(dtype), labels, moments, min_tokens=2, tile=tile)
    values = cosines(rows.numpy(), table.numpy())
    for neuron in (0, 1, 255, 256, 299):
        for label in range(4):
            wanted = reference.label_contrast(values[neuron], labels[:, label].numpy())
            for name, own, value in zip(LabelContrast._fields, found, wanted, strict=True):
                assert float(own[neuron, label]) == pytest.approx(value, rel=tolerance, abs=tolerance), name


def test_the_variance_reduction_is_the_squared_correlation(problem):
    rows, table, labels = problem
    moments = vocabulary_moments(rows, table)["cosine"]
    found = label_contrast(rows, table, labels, moments, min_tokens=2)
    values = cosines(rows.numpy(), table.numpy())
    for neuron in range(5):
        correlation = np.corrcoef(values[neuron], labels[:, 1].numpy())[0, 1]
        assert float(found.variance_reduction[neuron, 1]) == pytest.approx(correlation**2)
    assert int(found.variance_reduction[0, :4].argmax()) == 0  # the planted one


def test_labels_that_few_tokens_have_or_lack_explain_nothing(problem):
    rows, table, labels = problem
    moments = vocabulary_moments(rows, table)["cosine"]
    few = int(labels[:, 0].sum())
    for least, known in ((few, True), (few + 1, False)):
        found = label_contrast(rows, table, labels, moments, min_tokens=least)
        assert all(bool(measure[:, 0].isfinite().all()) is known for measure in found)
        assert all(measure[:, 4:].isnan().all() for measure in found)
