"""Screening against brute force: candidates, bounds, followed sums and the baseline."""

import numpy as np
import pytest
import torch

from tests.reference import correlation as reference
from tests.stats.ranks import merge
from tests.stats.screened import CONTEXT, CPU, Model, follow, matches, pair
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.candidates import Candidates
from un_lightning.stats.followed_pairs import FollowedPairs, pair_products
from un_lightning.stats.held_out import HeldOutMaximum
from un_lightning.stats.sample_products import sample_tile
from un_lightning.stats.screening import Screened, screen_pair


@pytest.mark.parametrize("excluded", [(), (0, 5, 17, 300, 301)])
def test_a_tile_equals_brute_force(excluded):
    """Correlations and halves of the sample; the error is that between its groups."""
    blocks, sampled = 100, 40
    left, right, one, two = pair(blocks, sampled, excluded=excluded, dtype=torch.float64)
    tile = sample_tile(one.side.sample, two.side.sample, slice(0, 24), slice(0, 32))
    counted = np.setdiff1d(np.arange(sampled * CONTEXT), excluded)
    data = [values.double().numpy()[counted] for values in (left, right)]
    expected = reference.correlations(*data)
    np.testing.assert_allclose(tile.correlation, expected[:24], atol=1e-6)
    z = [(values - values.mean(0)) / values.std(0) for values in data]
    group = counted // CONTEXT
    products = np.stack([z[0][group == g, :24].T @ z[1][group == g] for g in range(sampled)])
    energies = [np.stack([(v[group == g] ** 2).sum(0) for g in range(sampled)]) for v in z]
    factor = np.sqrt(sampled * (1 - sampled / blocks)) / len(counted)
    error = products.std(0, ddof=1) * factor
    scale = [energy.std(0, ddof=1) * factor for energy in energies]
    error += np.abs(expected[:24]) * (scale[0][:24, None] + scale[1][None]) / 2
    np.testing.assert_allclose(tile.error, error, rtol=1e-5)
    if not excluded:
        np.testing.assert_allclose((tile.halves[0] + tile.halves[1]) / 2, expected[:24], atol=1e-6)


@pytest.mark.parametrize("widths", [((24, 24), (32,)), ((7, 30, 11), (20, 5))])
def test_candidates_and_bounds_equal_brute_force(widths):
    """The K best of each row and each column, and the largest bound of all others."""
    _, _, one, two = pair(60, 30, widths=widths)
    sizes = [len(model.values) for model in (one, two)]
    everything = sample_tile(one.side.sample, two.side.sample, slice(0, sizes[0]), slice(0, sizes[1]))
    views = screen_pair(one.side, two.side, k=4, critical=3.0)
    for view, rho, error in zip(
        views,
        (everything.correlation, everything.correlation.T),
        (everything.error, everything.error.T),
        strict=True,
    ):
        best, where = rho.sort(dim=1, descending=True)
        torch.testing.assert_close(view.estimate, best[:, :4])
        assert torch.equal(view.partner, where[:, :4])
        torch.testing.assert_close(view.error, error.gather(1, where[:, :4]))
        rest = (rho + 3 * error).gather(1, where[:, 4:]).amax(1)
        torch.testing.assert_close(view.rest, rest)


def test_constant_units_are_no_candidates_and_fewer_partners_than_k_are_no_harm():
    left, right, *_ = pair(40, 20)
    left[:, 3] = 2.0
    right[:, 5] = 7.25
    right[7, 6] = float("nan")
    models = [Model(left, (24, 24), 40, 20, 0), Model(right, (32,), 40, 20, 1)]
    forward, backward = screen_pair(models[0].side, models[1].side, k=40, critical=3.0)
    assert not torch.isin(forward.partner, torch.tensor([5, 6])).any()
    assert not (backward.partner == 3).any()
    assert (forward.partner[:, 30:] == -1).all()
    assert (forward.rest == -torch.inf).all()
    assert torch.isfinite(forward.baseline).all()
    pairs = follow(FollowedPairs(forward, backward, 3.0), *models, batch=64)
    values = pairs.correlations(640, *(model.moments(640) for model in models))
    best = pairs.of_candidates(0, values)
    assert (best[3] == -torch.inf).all()
    assert torch.isfinite(best[:, 0][torch.arange(48) != 3]).all()


@pytest.mark.parametrize("batch", [16, 112, 4800])
def test_followed_correlations_equal_exact_ones_over_the_whole_stream(batch):
    """Any batch size; 1e-6 is float32's rounding in sums of products."""
    left, right, one, two = pair(300, 60)
    forward, backward = screen_pair(one.side, two.side, 8, 4.0)
    pairs = follow(FollowedPairs(forward, backward, 4.0), one, two, batch)
    values = pairs.correlations(4800, one.moments(4800), two.moments(4800))
    rho = reference.correlations(left.double().numpy(), right.double().numpy())
    np.testing.assert_allclose(values, rho[pairs.left, pairs.right], atol=1e-6)
    for side, true in enumerate((rho, rho.T)):
        best, partner = matches(pairs, side, values)
        found = partner == true.argmax(1)
        assert found[true.max(1) > 0.3].all()
        np.testing.assert_allclose(best[found], true.max(1)[found], atol=1e-6)


def test_two_halves_merge_to_the_whole():
    """Ranks add their sums; what one of them dropped is dropped."""
    _, _, one, two = pair(300, 60)
    screened = screen_pair(one.side, two.side, 8, 4.0)
    whole = follow(FollowedPairs(*screened, 4.0), one, two, 480)
    halves = [FollowedPairs(*screened, 4.0) for _ in range(2)]
    for number, part in enumerate((slice(0, 1600), slice(1600, 4800))):
        halves[number].add(one.values[:, part].contiguous(), two.values[:, part].contiguous())
    halves[1].tensors["dropped"][3] = 1
    merge(halves)
    moments = one.moments(4800), two.moments(4800)
    expected = whole.correlations(4800, *moments)
    expected[3] = -torch.inf
    torch.testing.assert_close(halves[0].correlations(4800, *moments), expected, atol=1e-6, rtol=0)


def test_dropping_keeps_every_best_pair_and_goes_on_after_loading():
    left, right, one, two = pair(600, 60)
    screened = screen_pair(one.side, two.side, 8, 4.0)
    pairs = FollowedPairs(*screened, 4.0)
    begun = pairs.active
    first = slice(0, 4800)
    pairs.add(one.values[:, first].contiguous(), two.values[:, first].contiguous())
    sums = [BlockSums(len(model.values), CPU) for model in (one, two)]
    for model, own in zip((one, two), sums, strict=True):
        own.add(model.values[:, first], 300, 4800)
    pairs.drop(4800, sums[0].moments(4800, one.shift), sums[1].moments(4800, two.shift), shrink=0.2)
    assert 0 < pairs.active < begun
    again = FollowedPairs(*screened, 4.0)
    again.load(pairs.tensors)
    assert again.active == pairs.active
    rest = slice(4800, 9600)
    again.add(one.values[:, rest].contiguous(), two.values[:, rest].contiguous())
    values = again.correlations(9600, one.moments(9600), two.moments(9600))
    rho = reference.correlations(left.double().numpy(), right.double().numpy())
    for side, true in enumerate((rho, rho.T)):
        best, partner = matches(again, side, values)
        strong = true.max(1) > 0.3
        np.testing.assert_array_equal(partner[strong], true.argmax(1)[strong])
        np.testing.assert_allclose(best[strong], true.max(1)[strong], atol=1e-6)


def test_below_the_floor_only_the_best_is_followed_and_the_bound_covers_the_others():
    _, _, one, two = pair(300, 60)
    forward, backward = screen_pair(one.side, two.side, 8, 4.0)
    pairs = FollowedPairs(forward, backward, 4.0, floor=3.0)  # above every bound
    upper = forward.estimate + 4 * forward.error
    torch.testing.assert_close(pairs.sides[0].rest, torch.maximum(forward.rest, upper[:, 1:].amax(1)))
    named = set(zip(range(48), forward.partner[:, 0].tolist(), strict=True))
    named |= set(zip(backward.partner[:, 0].tolist(), range(32), strict=True))
    assert set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == named


def part_of(pairs, models, tokens, shrink):
    """Add the first tokens of the stream, and drop."""
    part, sums = slice(0, tokens), [BlockSums(len(model.values), CPU) for model in models]
    pairs.add(*(model.values[:, part].contiguous() for model in models))
    for model, own in zip(models, sums, strict=True):
        own.add(model.values[:, part], tokens // CONTEXT, tokens)
    moments = (own.moments(tokens, model.shift) for model, own in zip(models, sums, strict=True))
    pairs.drop(tokens, *moments, shrink=shrink)


def test_a_unit_that_a_check_finds_below_the_floor_keeps_its_best_and_a_bound_of_the_others():
    """At the start its bounds lay above the floor, being wider."""
    left, right, one, two = pair(600, 60)
    screened = screen_pair(one.side, two.side, 8, 4.0)
    floor = 0.45
    with_floor, without = (FollowedPairs(*screened, 4.0, own) for own in (floor, -1.0))
    begun = with_floor.has_given_up(0).clone()
    for pairs in (with_floor, without):
        part_of(pairs, (one, two), 4800, shrink=0.2)
    later = with_floor.has_given_up(0) & ~begun
    assert later.sum() > 3
    assert not without.has_given_up(0).any()
    assert with_floor.active < without.active
    whole = slice(4800, 9600)
    for pairs in (with_floor, without):
        pairs.add(one.values[:, whole].contiguous(), two.values[:, whole].contiguous())
    moments = one.moments(9600), two.moments(9600)
    rho = torch.from_numpy(reference.correlations(left.double().numpy(), right.double().numpy()))
    for side, true in enumerate((rho, rho.T)):
        low = with_floor.has_given_up(side)
        own = with_floor.of_candidates(side, with_floor.correlations(9600, *moments))
        candidates = with_floor.sides[side].partner
        torch.testing.assert_close(own[low, 0], true.gather(1, candidates)[low, 0], atol=1e-6, rtol=0)
        reported = own.amax(1)
        rest = with_floor.sides[side].rest
        missed = true.amax(1) > reported + 1e-6
        assert (true.amax(1) <= torch.maximum(reported + 1e-6, rest.double())).all()
        assert (true.amax(1)[missed & low] < floor + 0.1).all()
        assert (rest[low] >= with_floor._sides[side].rest[low]).all()
        high = true.amax(1) > floor
        wanted = without.of_candidates(side, without.correlations(9600, *moments)).amax(1)
        torch.testing.assert_close(reported[high], wanted[high], atol=1e-6, rtol=0)
    again = FollowedPairs(*screened, 4.0, floor)
    again.load(with_floor.tensors)
    assert torch.equal(again.sides[0].rest, with_floor.sides[0].rest)


def test_ranks_that_drop_different_pairs_leave_every_unit_one():
    """Each saw other tokens, few of them, and trusts them too much."""
    _, _, one, two = pair(600, 60)
    screened = screen_pair(one.side, two.side, 8, 4.0)
    ranks = [FollowedPairs(*screened, 4.0, 0.3) for _ in range(2)]
    shares = [slice(0, 64), slice(6400, 6464)]
    for rank, share in zip(ranks, shares, strict=True):
        parts = [model.values[:, share].contiguous() for model in (one, two)]
        rank.add(*parts)
        sums = [BlockSums(len(part), CPU) for part in parts]
        for own, part in zip(sums, parts, strict=True):
            own.add(part, 4, 64)
        moments = (own.moments(64, m.shift) for own, m in zip(sums, (one, two), strict=True))
        rank.drop(64, *moments, shrink=0.0)
    dropped = [rank.tensors["dropped"].bool() for rank in ranks]
    assert (dropped[0] != dropped[1]).sum() > 20
    merge(ranks)
    values = torch.where(ranks[0].tensors["dropped"] == 0, 1.0, -torch.inf).double()
    for side in range(2):
        assert (ranks[0].of_candidates(side, values).amax(1) == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_chosen_products_equal_the_matrix_product(dtype):
    """bfloat16 takes the path of devices that have no product of chosen pairs."""
    generator = torch.Generator().manual_seed(2)
    left, right = (torch.randn(size, 33, generator=generator).to(dtype) for size in (9, 12))
    rows = torch.tensor([0, 0, 4, 8, 8, 8])
    columns = torch.tensor([3, 11, 0, 1, 2, 10])
    crow = torch.tensor([0, 2, 2, 2, 2, 3, 3, 3, 3, 6])
    found = pair_products(left, right, crow, rows, columns)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    expected = (left.double() @ right.double().T)[rows, columns]
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    assert pair_products(left, right, crow * 0, rows[:0], columns[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("blocks", "sampled", "bias"), [(1000, 100, 0.01), (200, 100, 0.004), (60, 60, 1e-5)]
)
def test_the_rotation_baseline_has_little_bias(blocks, sampled, bias):
    """Against an explicit rotation of the whole stream, of which the sample is a tenth, a half or all."""
    left, right, one, two = pair(blocks, sampled, widths=((64, 64), (64, 64)), draws=3)
    forward, _ = screen_pair(one.side, two.side, 4, 4.0)
    expected = []
    for draw in range(3):
        matrices = [layer[draw].double().numpy() for layer in two.matrices]
        turned = reference.rotated(right.double().numpy(), (64, 64), matrices)
        rho = reference.correlations(left.double().numpy(), turned)
        expected.append(reference.max_over_partners(rho))
    difference = forward.baseline.numpy() - np.stack(expected)
    assert abs(difference.mean()) < bias
    assert difference.mean(0).std() < 0.03
    assert forward.baseline.mean() < forward.estimate[:, 0].mean()


def test_held_out_maximum_removes_the_bias_of_a_choice():
    """Normal correlations with errors as large as themselves: the largest alone is 41 % too large."""
    generator = torch.Generator().manual_seed(4)
    true = torch.randn(400, 2000, generator=generator)
    halves = [true + torch.randn(400, 2000, generator=generator) for _ in range(2)]
    found = HeldOutMaximum(1, 400, CPU)
    for columns in (slice(0, 900), slice(900, 2000)):
        found.update(0, slice(0, 400), (halves[0][:, columns] / 20, halves[1][:, columns] / 20))
    largest = true.amax(1).mean() / 20
    assert found.found.mean() / largest > 1.35
    assert abs(found.estimate(0.0).mean() / largest - 1) < 0.05
    # On a stream four times as long as a half, errors have half of the deviation.
    rest = torch.randn(400, 2000, generator=generator) / 8**0.5
    stream = true + (sum(halves) - 2 * true) / 4 + rest
    noisy = stream.amax(1).mean() / 20
    assert noisy / largest > 1.1
    assert abs(found.estimate(0.25).mean() / noisy - 1) < 0.05


def test_tiles_in_any_order_give_the_same_candidates():
    generator = torch.Generator().manual_seed(5)
    rho, error = torch.randn(6, 30, generator=generator), torch.rand(6, 30, generator=generator)
    valid = torch.ones(30, dtype=torch.bool)
    kept = []
    for parts in ((slice(0, 30),), (slice(20, 30), slice(0, 3), slice(3, 20))):
        candidates = Candidates(6, 5, 2.0, CPU)
        for part in parts:
            candidates.update(rho[:, part], error[:, part], slice(0, 6), part.start, valid[part])
        kept.append(candidates)
    assert torch.equal(kept[0].partner, kept[1].partner)
    assert torch.equal(kept[0].rest, kept[1].rest)


def test_the_sample_of_everything_leaves_no_doubt():
    """Without blocks that remain, estimates are exact and bounds have no width."""
    left, right, one, two = pair(50, 50)
    forward, _ = screen_pair(one.side, two.side, 3, 5.0)
    assert float(forward.error.abs().max()) == 0
    rho = torch.from_numpy(reference.correlations(left.double().numpy(), right.double().numpy()))
    torch.testing.assert_close(forward.rest.double(), rho.topk(4)[0][:, 3], atol=1e-6, rtol=0)


def test_screened_without_any_partner_follows_nothing():
    nothing = torch.full((3, 2), -1)
    side = Screened(
        nothing, torch.full((3, 2), -torch.inf), torch.zeros(3, 2), torch.zeros(3), torch.zeros(1, 3)
    )
    pairs = FollowedPairs(side, side, 4.0)
    pairs.add(torch.randn(3, 8), torch.randn(3, 8))
    assert pairs.active == 0
    assert (pairs.of_candidates(0, torch.zeros(0, dtype=torch.float64)) == -torch.inf).all()
