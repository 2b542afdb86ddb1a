import numpy as np
import pytest
import torch

from tests.reference import measures as reference
from tests.stats.measures.sums import of, pair_sums, slices, valid
from un_lightning.stats.measures.linreg import explained_by_all, explained_by_layers


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ridge", [1e-4, 0.3])
@pytest.mark.parametrize("tile", [4, 100])
def test_equals_the_ridge_formula(activations, ridge, tile):
    pair = of(activations, tile=tile, full=True)
    left, right = activations.left.double().numpy(), activations.right.double().numpy()
    good = valid(activations.right)
    fit, everything = explained_by_layers(pair, ridge), explained_by_all(pair, ridge)
    assert fit.ridge == ridge
    for unit in np.flatnonzero(valid(activations.left)):
        for layer, columns in enumerate(slices(activations.widths_right)):
            kept = right[:, columns][:, good[columns]]
            expected = reference.ridge_r_squared(kept, left[:, unit], ridge)
            assert fit.r2[unit, layer].item() == pytest.approx(expected, abs=2e-6)
        expected = reference.ridge_r_squared(right[:, good], left[:, unit], ridge)
        assert everything.r2[unit, 0].item() == pytest.approx(expected, abs=2e-6)
    assert fit.r2[5].isnan().all()
    assert everything.r2[5].isnan().all()


def test_a_vanishing_ridge_is_least_squares():
    left, right = randn(200, 3), randn(200, 6, seed=1)
    right[:, :3] += left
    fit = explained_by_layers(pair_sums(left, right, (3,), (4, 2)), ridge=1e-12)
    for unit in range(3):
        for layer, columns in enumerate(slices((4, 2))):
            expected = reference.r_squared(right[:, columns].numpy(), left[:, unit].numpy())
            assert fit.r2[unit, layer].item() == pytest.approx(expected, abs=1e-9)


def test_a_rotated_layer_is_fully_explained_though_no_unit_is_shared():
    """All information is there, no neuron is: R² = 1 while the largest correlation falls."""
    left = randn(4000, 64)
    left = torch.where(left > 1.2, left**3, 0.05 * left)
    rotation = torch.linalg.qr(randn(64, 64, seed=2))[0]
    pair = pair_sums(left, torch.cat([left @ rotation, randn(4000, 64, seed=3)], 1), (64,), (64, 64), tile=10)
    r2, layer = explained_by_layers(pair).best()
    np.testing.assert_allclose(r2, 1.0, atol=2e-4)  # the ridge is 1e-4
    assert (layer == 0).all()
    assert pair.correlation(slice(0, 64), slice(0, 128)).max() < 0.7


def test_independent_units_explain_their_share_of_the_tokens():
    """Least squares fits noise: R² is about units/tokens, which the summary reports as linreg/null."""
    fit = explained_by_layers(pair_sums(randn(2000, 40), randn(2000, 50, seed=1), (40,), (50,)))
    assert fit.r2.mean().item() == pytest.approx(50 / 2000, rel=0.1)


def test_all_layers_explain_at_least_what_the_best_one_does():
    left, right = randn(500, 6), randn(500, 9, seed=1)
    right[:, ::2] += left[:, :5]
    pair = pair_sums(left, right, (6,), (4, 3, 2), full=True)
    best, _ = explained_by_layers(pair, 1e-9).best()
    assert (explained_by_all(pair, 1e-9).r2[:, 0] >= best - 1e-9).all()


def test_more_units_than_tokens_raise_the_ridge_until_there_is_an_answer():
    """The covariance is singular, and in float32 its smallest eigenvalues may be below zero."""
    right = randn(30, 60, seed=1).float() * torch.logspace(-3, 3, 60)
    fit = explained_by_layers(pair_sums(randn(30, 4).float(), right, (4,), (60,)), ridge=1e-14)
    assert fit.ridge > 1e-14
    assert fit.r2.isfinite().all()
    assert ((fit.r2 >= 0) & (fit.r2 <= 1)).all()


def test_a_layer_without_a_valid_unit_explains_nothing():
    right = randn(100, 4, seed=1)
    right[:, :2] = 1.5
    fit = explained_by_layers(pair_sums(randn(100, 3), right, (3,), (2, 2)))
    assert fit.r2[:, 0].isnan().all()
    r2, layer = fit.best()
    assert r2.isfinite().all()
    assert (layer == 1).all()
    dead = explained_by_layers(pair_sums(randn(100, 3), torch.ones(100, 4).double(), (3,), (2, 2)))
    assert all(found.isnan().all() for found in dead.best())


def test_without_the_full_matrix_all_layers_are_refused():
    with pytest.raises(ValueError, match="all pairs of units"):
        explained_by_all(pair_sums(randn(50, 2), randn(50, 2), (2,), (2,)))
