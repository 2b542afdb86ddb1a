import numpy as np
import torch

from tests.reference import measures as reference
from tests.stats.measures.sums import of, pair_sums, valid
from un_lightning.stats.measures.cosine import cosine, largest_cosine


def test_equals_brute_force_on_activations_far_from_zero(activations):
    """The shift is given back; 2e-6 is float32's rounding in a sum of 1,200 products."""
    pair = of(activations)
    expected = reference.cosines(activations.left.double().numpy(), activations.right.double().numpy())
    keep = np.ix_(valid(activations.left), valid(activations.right))
    found = cosine(pair, slice(0, 18), slice(0, 16)).numpy()
    np.testing.assert_allclose(found[keep], expected[keep], atol=2e-6)
    np.testing.assert_array_equal(found[5], 0)
    largest = largest_cosine(pair).numpy()
    np.testing.assert_allclose(largest[valid(activations.left)], expected[keep].max(1), atol=2e-6)
    assert np.isnan(largest[5])


def test_float64_shrinks_what_is_left(activations):
    data = activations._replace(left=activations.left.double(), right=activations.right.double())
    expected = reference.cosines(data.left.numpy(), data.right.numpy())
    keep = np.ix_(valid(data.left), valid(data.right))
    np.testing.assert_allclose(
        cosine(of(data), slice(0, 18), slice(0, 16)).numpy()[keep], expected[keep], atol=1e-13
    )


def test_the_largest_may_be_negative():
    values = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    pair = pair_sums(values, -values, (2,), (2,))
    assert (largest_cosine(pair) < 0).all()


def test_without_a_valid_partner_there_is_none():
    values = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pair = pair_sums(values, torch.ones(50, 3, dtype=torch.float64), (2,), (3,))
    assert largest_cosine(pair).isnan().all()
