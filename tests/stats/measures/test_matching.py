import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import correlation
from tests.reference import measures as reference
from tests.stats.measures.sums import of, pair_sums, slices
from un_lightning.stats.measures.assignment import assign, greedy, optimal
from un_lightning.stats.measures.matching import match_units


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 1000))
def test_assignments_of_small_matrices(rows, columns, seed):
    values = randn(rows, columns, seed=seed)
    first, second = optimal(values)
    assert values[first, second].sum().item() == pytest.approx(reference.best_assignment(values.numpy()))
    for found in (optimal(values), greedy(values)):
        assert len(set(found[0].tolist())) == len(set(found[1].tolist())) == min(rows, columns)
    pairs = list(zip(*(side.tolist() for side in greedy(values)), strict=True))
    assert pairs == reference.greedy_assignment(values.numpy())


def test_greedy_reaches_half_of_the_best_and_copes_with_ties():
    values = randn(40, 30).abs()
    best, fast = (values[found].sum() for found in (optimal(values), greedy(values)))
    assert best / 2 <= fast <= best
    first, second = greedy(torch.ones(5, 7))
    assert len(first) == len(set(second.tolist())) == 5
    assert [len(side) for side in greedy(torch.zeros(0, 4))] == [0, 0]


def test_large_matrices_are_matched_greedily():
    values = torch.tensor([[0.9, 0.8], [0.8, 0.1]])  # greedy takes 0.9 + 0.1, the best is 0.8 + 0.8
    assert assign(values, 2)[1].tolist() == [1, 0]
    assert assign(values, 1)[1].tolist() == [0, 1]


@pytest.mark.parametrize("size", [0, 100])
def test_blocks_of_layers_equal_brute_force(activations, size):
    """Layers of 6 and 8 units with a constant one each; 2e-6 is six roundings of float32 sums."""
    found = match_units(of(activations), size)
    rho = correlation.correlations(activations.left.double().numpy(), activations.right.double().numpy())
    for i, rows in enumerate(slices((6, 6, 6))):
        for j, columns in enumerate(slices((8, 8))):
            block = rho[rows, columns]
            block = block[~np.isnan(block).all(1)][:, ~np.isnan(block).all(0)]
            pairs = reference.greedy_assignment(block)
            best = sum(block[pair] for pair in pairs) if size == 0 else reference.best_assignment(block)
            assert found.matched[i, j].item() == pytest.approx(best, abs=2e-6)
            assert found.largest[i, j].item() == pytest.approx(block.max(1).sum(), abs=2e-6)
            assert found.largest_back[i, j].item() == pytest.approx(block.max(0).sum(), abs=2e-6)
    assert found.partner[5] == -1
    assert found.corr[5].isnan()
    used = found.partner[found.partner >= 0]
    assert len(used) == len(set(used.tolist()))
    assert 3 not in used
    np.testing.assert_allclose(found.corr[found.partner >= 0], rho[found.partner >= 0, used], atol=1e-6)


@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize(("mine", "theirs"), [(1, 1), (4, 1), (4, 3), (2, 5)])
def test_of_planted_copies_one_to_one_matching_finds_as_many_as_there_are_on_both_sides(size, mine, theirs):
    """Every copy has a perfect partner, but only min(mine, theirs) can have one of their own."""
    unit, left, right = randn(2000, 1), randn(2000, 8, seed=1), randn(2000, 8, seed=2)
    left[:, :mine], right[:, -theirs:] = unit, unit
    pair = pair_sums(left, right, (8,), (8,))
    found = match_units(pair, size)
    assert (found.corr > 0.99).sum() == min(mine, theirs)
    assert (pair.correlation(slice(0, 8), slice(0, 8)).amax(1) > 0.99).sum() == mine
    assert found.gap() >= mine - min(mine, theirs) - 1e-9 + (0 if mine <= theirs else -0.2 * mine)


def test_shuffled_layers_of_shuffled_units_find_each_other():
    """Layer 0 went to layer 2, 1 to 0, 2 to 1; the extra layer of the deeper model is left over."""
    layers = [randn(800, 5, seed=seed) for seed in range(3)]
    order = torch.tensor([3, 1, 4, 0, 2])
    right = torch.cat(
        [layers[1][:, order], layers[2][:, order], layers[0][:, order], randn(800, 6, seed=9)], 1
    )
    pair = pair_sums(torch.cat(layers, 1), right, (5, 5, 5), (5, 5, 5, 6))
    found = match_units(pair)
    assert found.layer.tolist() == [2, 0, 1]
    back = order.argsort()
    assert found.partner.tolist() == torch.cat([back + 10, back, back + 5]).tolist()
    np.testing.assert_allclose(found.corr, 1.0)
    assert found.gap() == pytest.approx(0, abs=1e-9)
    swapped = found.swapped(21)
    direct = match_units(pair.swapped)
    for one, two in zip(swapped, direct, strict=True):
        np.testing.assert_allclose(one, two)
    assert swapped.layer.tolist() == [1, 2, 0, -1]
    assert (swapped.partner[15:] == -1).all()
    assert swapped.corr[15:].isnan().all()


def test_a_layer_without_a_valid_unit_matches_nothing():
    left = randn(100, 6)
    left[:, :3] = 2.0
    found = match_units(pair_sums(left, randn(100, 6, seed=1), (3, 3), (3, 3)))
    assert (found.partner[:3] == -1).all()
    assert (found.partner[3:] >= 0).all()
