import numpy as np
import pytest
import torch

from tests.reference import measures as reference
from tests.stats.measures.sums import CPU, active_set, of, pair_sums, slices, valid
from un_lightning.stats.co_activity import ActiveBuffer, ActiveCounts, JointCounts
from un_lightning.stats.measures.jaccard import jaccard, largest_jaccard
from un_lightning.stats.pair_sums import CoActivity, ModelSums, PairSums
from un_lightning.stats.unit_sums import UnitMoments


@pytest.mark.parametrize("threshold", [0.0, 1.3, 40.0])
def test_equals_sets_of_tokens(activations, threshold):
    pair = of(activations, threshold=threshold)
    left, right = activations.left.double().numpy(), activations.right.double().numpy()
    expected = reference.jaccards(left, right, threshold)
    found = jaccard(pair.activity, slice(0, 18), slice(0, 16)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    largest = largest_jaccard(pair).numpy()
    keep = np.ix_(valid(activations.left), valid(activations.right))
    active = (left > threshold).any(0)[valid(activations.left)]
    wanted = np.where(active, expected[keep].max(1), np.nan)  # a unit that is never active has none
    np.testing.assert_allclose(largest[valid(activations.left)], wanted, rtol=1e-6)
    assert np.isnan(largest[5])


def test_batches_add_up_and_excluded_tokens_are_never_active(activations):
    values, widths = activations.left, activations.widths_left
    threshold = -1000.0  # every token is above it, but the excluded ones must not count
    counts, joint = ActiveCounts(18, CPU), JointCounts(18, 18, CPU)
    buffer = ActiveBuffer(500, list(slices(widths)), threshold, torch.float32, CPU)
    for part in values.split(500):
        for layer, columns in enumerate(slices(widths)):
            buffer.sink(layer, part[None, :, columns])
        active = buffer.finish(torch.tensor([0, 7]))
        counts.add(active)
        joint.add(active, active)
    assert (counts.tensors["active"] == 1200 - 6).all()
    assert (joint.tensors["together"] == 1200 - 6).all()


def test_a_unit_that_is_never_active_has_no_similarity():
    """It would be 0, as if it had been compared with something."""
    left = torch.tensor([[0.5, -1.0], [-1.0, -2.0], [0.2, -3.0], [-0.5, -1.5]]).double()
    sets = (left > 0).double()
    moments = UnitMoments(left.mean(0), left.std(0), torch.ones(2, dtype=torch.bool))
    activity = CoActivity((sets.T @ sets).int(), sets.sum(0), sets.sum(0))
    own = ModelSums(moments, torch.zeros(2), (slice(0, 2),))
    found = largest_jaccard(PairSums(left.T @ left, 4, own, own, activity=activity))
    assert found[0] == 1
    assert found[1].isnan()


def test_bfloat16_counts_are_exact(activations):
    """The sets are made before any rounding, and products of zeros and ones are exact."""
    sets = [
        active_set(activations.left, activations.widths_left, 30.0, d)
        for d in (torch.float32, torch.bfloat16)
    ]
    assert torch.equal(sets[0], sets[1].float())


def test_counting_goes_on_beyond_float32():
    """Float32 holds 2^24 + 1 as 2^24."""
    joint = JointCounts(1, 1, CPU)
    joint.tensors["together"] += 2**24
    joint.add(torch.ones(1, 1), torch.ones(1, 1))
    assert joint.tensors["together"].item() == 2**24 + 1


def test_many_rows_are_added_in_parts(monkeypatch):
    monkeypatch.setattr(JointCounts, "ROWS", 2)
    active = (torch.rand(40, 5, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    joint = JointCounts(5, 5, CPU)
    joint.add(active, active)
    assert torch.equal(joint.tensors["together"].float(), active.T @ active)


def test_a_broken_unit_is_not_active_and_has_no_similarity(activations):
    left = activations.left.clone()
    left[3, 1] = float("nan")
    pair = of(activations._replace(left=left))
    assert largest_jaccard(pair)[1].isnan()
    assert largest_jaccard(pair.swapped)[[0, 1, 2]].isfinite().all()


def test_without_counts_it_says_so():
    values = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="active together"):
        largest_jaccard(pair_sums(values, values, (2,), (2,))._replace(activity=None))
