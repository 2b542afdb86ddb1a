import numpy as np
import pytest
import torch

from tests.reference import measures as reference
from tests.stats.measures.sums import of, pair_sums, slices, valid
from un_lightning.stats.measures.cka import linear_cka


@pytest.mark.parametrize("tile", [1, 4, 100])
def test_equals_the_similarity_of_tokens(activations, tile):
    """Kornblith's two forms agree; constant units add nothing to either."""
    found = linear_cka(of(activations, tile=tile)).numpy()
    left, right = activations.left.double().numpy(), activations.right.double().numpy()
    for i, rows in enumerate(slices(activations.widths_left)):
        for j, columns in enumerate(slices(activations.widths_right)):
            assert found[i, j] == pytest.approx(reference.cka(left[:, rows], right[:, columns]), rel=2e-5)


def test_a_rotated_scaled_and_shifted_layer_is_the_same_layer():
    generator = torch.Generator().manual_seed(5)
    left = torch.randn(300, 8, generator=generator, dtype=torch.float64) * torch.arange(1.0, 9).double()
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
    np.testing.assert_allclose(
        linear_cka(pair_sums(left, 3 * left @ rotation + 7, (8,), (8,))), 1.0, atol=1e-12
    )


def test_a_broken_unit_is_left_out(activations):
    left = activations.left.clone()
    left[3, 1] = float("inf")
    found = linear_cka(of(activations._replace(left=left))).numpy()
    kept = np.delete(activations.left.double().numpy()[:, :6], [1, 5], axis=1)
    expected = reference.cka(kept, activations.right.double().numpy()[:, :8][:, valid(activations.right)[:8]])
    assert found[0, 0] == pytest.approx(expected, rel=2e-5)


def test_a_layer_without_a_valid_unit_has_none():
    left = torch.rand(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    right = left.clone()
    right[:, :2] = 3.0
    found = linear_cka(pair_sums(left, right, (2, 2), (2, 2)))
    assert found[:, 0].isnan().all()
    assert found[:, 1].isfinite().all()
