"""Activations before tokens of a set, against all pairs and a jackknife by hand."""

import pytest
import torch

from tests.reference import prediction as reference
from tests.stats.ranks import continued, merge, splits
from un_lightning.stats.next_token import NextTokenSums


TOKENS, NEURONS, GROUPS = 900, 3, 6
OWNER = torch.tensor([0, 0, 1, 2, 2])


@pytest.fixture(scope="module")
def stream():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(TOKENS, NEURONS, generator=generator) * torch.tensor([1.0, 3.0, 0.2]) + 50
    inside = torch.rand(TOKENS, len(OWNER), generator=generator) < torch.tensor([0.3, 0.02, 0.5, 0.1, 0.9])
    values[:, 0] += inside[:, 0]
    group = torch.arange(TOKENS) * GROUPS // TOKENS
    return group, values, inside


def fresh():
    low = torch.tensor([45.0, 40.0, 48.0])
    return NextTokenSums(GROUPS + 2, OWNER, low, 2 * (50 - low) + low, bins=4000)


def add(sums, stream, parts):
    for part in parts:
        sums.add(*(own[part] for own in stream))
    return sums


@pytest.fixture(scope="module")
def whole(stream):
    return add(fresh(), stream, [slice(None)])


def test_differences_and_auroc_match_all_pairs(whole, stream):
    group, values, inside = (own.double().numpy() for own in stream)
    found = whole.contrast(0.95)
    for case, neuron in enumerate(OWNER.tolist()):
        own, has = values[:, neuron], inside[:, case].astype(bool)
        difference, auroc = reference.separation(own, has)
        error = reference.jackknife(own, has, group)
        # Values near 50 in float32 carry 4e-6, which the deviation of 0.2 makes 2e-5.
        assert float(found.difference[case]) == pytest.approx(difference, abs=1e-4)
        assert abs(float(found.auroc[case]) - auroc) <= float(found.auroc_error[case]) + 1e-4
        assert float(found.auroc_error[case]) < 0.01
        reach = float(found.high[case] - found.low[case]) / 2
        assert reach == pytest.approx(1.959964 * error, rel=1e-3)
        assert float(found.mean_inside[case]) == pytest.approx(own[has].mean(), abs=1e-4)
        assert float(found.mean_outside[case]) == pytest.approx(own[~has].mean(), abs=1e-4)
        assert int(found.inside[case]) == has.sum()
        assert int(found.tokens[case]) == TOKENS


@pytest.mark.parametrize("sizes", [[1, 17], [100], [899, 1]])
def test_batches_ranks_and_stops_change_nothing(whole, stream, sizes):
    parts = list(splits(TOKENS, sizes))
    ranks = [add(fresh(), stream, parts[rank::2]) for rank in range(2)]
    stopped = add(fresh(), stream, parts[:3])
    again = add(continued(stopped, fresh()), stream, parts[3:])
    merge(ranks)
    for other in (*ranks, again):
        for name, tensor in whole.tensors.items():
            # Sums of 900 float32 products in another order.
            torch.testing.assert_close(other.tensors[name], tensor, rtol=1e-5, atol=2e-3)
        assert torch.equal(other.tensors["histogram"], whole.tensors["histogram"])
        assert torch.equal(other.tensors["inside"], whole.tensors["inside"])


def test_activations_that_are_not_finite_have_no_auroc():
    """Only those of the neuron that was broken, whose bins would be compared with each other."""
    sums = fresh()
    values = torch.full((4, 3), 50.0) + torch.arange(4)[:, None] / 10
    values[1, 1] = torch.nan
    inside = torch.tensor([[True], [False], [True], [False]]).expand(4, len(OWNER))
    sums.add(torch.zeros(4, dtype=torch.int64), values, inside)
    found = sums.contrast(0.9)
    assert torch.equal(found.auroc.isnan(), torch.tensor([owner == 1 for owner in OWNER.tolist()]))
    assert torch.equal(found.difference.isnan(), found.auroc.isnan())


def test_sets_that_never_come_and_values_that_are_not_finite():
    sums = fresh()
    values = torch.tensor([[50.0, torch.nan, 50.0], [51.0, 50.0, torch.inf]])
    sums.add(torch.zeros(2, dtype=torch.int64), values, torch.zeros(2, len(OWNER), dtype=torch.bool))
    found = sums.contrast(0.9)
    assert found.inside.sum() == 0
    assert found.difference.isnan().all()
    assert found.auroc.isnan().all()
    assert int(sums.tensors["histogram"].sum()) == 2 * NEURONS
