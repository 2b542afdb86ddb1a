"""Streaming correlations and baselines against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import correlation as reference
from un_lightning.analyses.correlation.baselines import draw_seed
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import pair_views
from un_lightning.config import Baseline, CorrelationConfig, Site
from un_lightning.models.units import Units
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.rotation import random_matrix
from un_lightning.stats.unit_sums import UnitSums


CPU = torch.device("cpu")
ROTATIONS = [baseline for baseline in Baseline if baseline.is_rotation]


class Sums:
    """All statistics of one pair, as the analysis keeps them."""

    def __init__(self, data, dtype=torch.float32):
        self.shift = [data.left[:50].mean(0), data.right[:50].mean(0)]
        self.sums = [UnitSums(data.left.shape[1], CPU), UnitSums(data.right.shape[1], CPU)]
        self.grams = [LayerGrams(data.widths_left, CPU, dtype), LayerGrams(data.widths_right, CPU, dtype)]
        self.product = CrossProduct(data.left.shape[1], data.right.shape[1], CPU, dtype)
        self.widths = [data.widths_left, data.widths_right]
        self.dtype = dtype

    def add(self, left, right):
        values = [
            (v.to(self.dtype) - s.to(self.dtype)) for v, s in zip((left, right), self.shift, strict=True)
        ]
        for side in range(2):
            self.sums[side].add(values[side])
            self.grams[side].add(values[side])
        self.product.add(*values)
        return self

    def merge(self, other):
        """What reducing over two ranks does."""
        for mine, theirs in zip(self.all(), other.all(), strict=True):
            for name, tensor in mine.tensors.items():
                tensor += theirs.tensors[name]
        return self

    def all(self):
        return [*self.sums, *self.grams, self.product]

    def views(self, count, config, seed=3):
        members = [
            MemberSums(
                Units(name, Site.mlp_post, widths),
                sums.moments(count, shift),
                [grams.gram(layer) for layer in range(len(widths))],
            )
            for name, widths, sums, shift, grams in zip(
                "ab", self.widths, self.sums, self.shift, self.grams, strict=True
            )
        ]
        return pair_views(*members, self.product.tensors["product"], count, config, seed)


def best(view):
    return view.summary.best[:, 0].double().numpy()


@pytest.mark.parametrize("splits", [1, 7, 400])
@pytest.mark.parametrize("tile", [5, 64])
@pytest.mark.parametrize("baseline", ROTATIONS)
def test_equals_brute_force_from_both_sides(activations, splits, tile, baseline):
    """Any batch split, any tile; 1e-6 is float32's rounding in sums of 1,200 products."""
    config = CorrelationConfig(tile=tile, draws=2, baseline=baseline, top_k=3)
    sums = Sums(activations)
    for left, right in zip(
        activations.left.tensor_split(splits), activations.right.tensor_split(splits), strict=True
    ):
        sums.add(left, right)
    views = sums.views(1200, config)
    data = [activations.left.double().numpy(), activations.right.double().numpy()]
    for side, view in enumerate(views):
        mine, other = data[side], data[1 - side]
        widths = sums.widths[1 - side]
        rho = reference.correlations(mine, other)
        valid = mine.std(0) > 0
        assert (~valid).sum() == 1
        np.testing.assert_allclose(best(view)[valid], reference.max_over_partners(rho)[valid], atol=1e-6)
        np.testing.assert_array_equal(
            view.summary.best_index[:, 0].numpy()[valid], np.nanargmax(rho[valid], axis=1)
        )
        for name, values in view.summary.moments(int((other.std(0) > 0).sum())).items():
            expected = reference.row_moments(rho[valid])[name]
            np.testing.assert_allclose(values.numpy()[valid], expected, rtol=2e-5, atol=1e-6)
        for draw in range(2):
            matrices = [
                random_matrix(
                    baseline, width, draw_seed(3, "ba"[side], layer, draw), CPU, torch.float64
                ).numpy()
                for layer, width in enumerate(widths)
            ]
            turned = np.where(other.std(0) > 0, other, 0)  # an invalid unit takes no part in a rotation
            if baseline is Baseline.rotation_z:
                turned = turned / np.where(other.std(0) > 0, other.std(0), 1)
            expected = reference.max_over_partners(
                reference.correlations(mine, reference.rotated(turned, widths, matrices))
            )
            # Rotated variances are sums of F² float32 covariances: a few times the rounding of one.
            np.testing.assert_allclose(view.baseline[draw].numpy()[valid], expected[valid], atol=5e-6)


def test_histogram_counts_every_valid_partner(activations):
    config = CorrelationConfig(bins=20, top_k=2)
    view, _ = Sums(activations).add(activations.left, activations.right).views(1200, config)
    rho = reference.correlations(activations.left.double().numpy(), activations.right.double().numpy())
    for row in (0, 7, 17):
        expected, _ = np.histogram(rho[row][~np.isnan(rho[row])], bins=20, range=(-1, 1))
        np.testing.assert_array_equal(view.summary.histogram[row].numpy(), expected)


def test_top_and_bottom_partners_are_sorted_and_distinct(activations):
    config = CorrelationConfig(top_k=20)  # more than there are partners
    view, _ = Sums(activations).add(activations.left, activations.right).views(1200, config)
    rho = reference.correlations(activations.left.double().numpy(), activations.right.double().numpy())
    order = np.argsort(-np.delete(rho[2], 3))  # column 3 is constant
    names = np.delete(np.arange(16), 3)[order]
    np.testing.assert_array_equal(view.summary.best_index[2, :15].numpy(), names)
    np.testing.assert_array_equal(view.summary.worst_index[2, :15].numpy(), names[::-1])
    assert (view.summary.best_index[2, 15:] == -1).all()


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 1199), order=st.randoms(use_true_random=False))
def test_two_ranks_with_any_share_give_the_sums_of_one(cut, order):
    """Tokens may be shared out in any way and come in any order."""
    generator = torch.Generator().manual_seed(1)
    data = _Data(torch.randn(1200, 6, generator=generator) + 20, torch.randn(1200, 4, generator=generator))
    rows = list(range(1200))
    order.shuffle(rows)
    first, second = torch.tensor(rows[:cut]), torch.tensor(rows[cut:])
    config = CorrelationConfig(draws=1, top_k=2)
    whole = Sums(data).add(data.left, data.right).views(1200, config)
    parts = [Sums(data).add(data.left[part], data.right[part]) for part in (first, second)]
    merged = parts[0].merge(parts[1]).views(1200, config)
    for one, two in zip(whole, merged, strict=True):
        np.testing.assert_allclose(best(one), best(two), atol=1e-6)
        np.testing.assert_allclose(one.baseline.numpy(), two.baseline.numpy(), atol=2e-6)


def test_float64_shrinks_what_is_left(activations):
    """The difference from brute force is rounding: float64 sums take it away."""
    config = CorrelationConfig(draws=1, top_k=1)
    rho = reference.correlations(activations.left.double().numpy(), activations.right.double().numpy())
    valid = np.delete(np.arange(18), 5)
    errors = [
        np.abs(
            best(Sums(activations, dtype).add(activations.left, activations.right).views(1200, config)[0])[
                valid
            ]
            - reference.max_over_partners(rho)[valid]
        ).max()
        for dtype in (torch.float32, torch.float64)
    ]
    assert errors[1] < 1e-13
    assert errors[1] < errors[0] < 1e-6


def test_large_mean_square_stays_finite():
    """The reference scripts' float16 sums overflow once a batch's mean square exceeds 5.33 (method B1)."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(4096, 3, generator=generator) * 3 + 10.5
    data = _Data(left, left.flip(1) + 0.01)
    view, _ = Sums(data).add(data.left, data.right).views(4096, CorrelationConfig(draws=1, top_k=1))
    np.testing.assert_allclose(best(view), 1.0, atol=1e-6)
    np.testing.assert_array_equal(view.summary.best_index[:, 0].numpy(), [2, 1, 0])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_unit_is_invalid_and_spoils_no_other(activations, broken):
    left = activations.left.clone()
    right = activations.right.clone()
    left[3, 1] = broken
    right[900, 9] = broken
    data = activations._replace(left=left, right=right)
    sums = Sums(data).add(left, right)
    moments = [side.moments(1200, shift) for side, shift in zip(sums.sums, sums.shift, strict=True)]
    assert (~moments[0].valid).nonzero().flatten().tolist() == [1, 5]
    assert (~moments[1].valid).nonzero().flatten().tolist() == [3, 9]
    views = sums.views(1200, CorrelationConfig(draws=2, top_k=2))
    for view, moment in zip(views, moments, strict=True):
        assert np.isfinite(best(view)[moment.valid.numpy()]).all()
        assert torch.isfinite(view.baseline[:, moment.valid]).all()


@pytest.mark.parametrize("kind", ROTATIONS)
def test_random_matrices_are_seeded_and_as_orthogonal_as_they_say(kind):
    matrix = random_matrix(kind, 64, 5, CPU, torch.float64)
    assert torch.equal(matrix, random_matrix(kind, 64, 5, CPU, torch.float64))
    assert not torch.equal(matrix, random_matrix(kind, 64, 6, CPU, torch.float64))
    torch.testing.assert_close(matrix.square().sum(1), torch.ones(64, dtype=torch.float64))
    off_diagonal = (matrix @ matrix.T - torch.eye(64)).abs().max()
    if kind is Baseline.gaussian_rows:
        assert off_diagonal > 0.1
    else:
        assert off_diagonal < 1e-12


def test_a_baseline_without_a_matrix_has_none():
    with pytest.raises(ValueError, match="no random matrix in the baseline 'noise'"):
        random_matrix(Baseline.noise, 4, 0, CPU)


class _Data:
    def __init__(self, left, right):
        self.left, self.right = left, right
        self.widths_left, self.widths_right = (left.shape[1],), (right.shape[1],)
