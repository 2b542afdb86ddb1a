"""Certificates of screening: how often they are wrong, and what they ask for."""

import pytest
import torch

from tests.reference import correlation as reference
from tests.stats.planted import planted
from tests.stats.screened import CONTEXT, CPU, Model, follow
from un_lightning.analyses.screen.analysis import is_check
from un_lightning.analyses.screen.report import EVIDENCE, candidate_view, certificates
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.followed_pairs import FollowedPairs
from un_lightning.stats.screening import critical_value, screen_pair


@pytest.mark.slow
def test_a_certificate_is_wrong_no_more_often_than_stated():
    """Simple random samples of one stream: the bound must hold for all but 1 in 100 units.

    Latents have more units than there are candidates, so that the bound is at work.
    """
    blocks, sampled, k = 1500, 300, 4
    left, right = planted(blocks, CONTEXT, (60,), (60,), seed=9)
    rho = torch.from_numpy(reference.correlations(left.double().numpy(), right.double().numpy()))
    critical = critical_value(0.99, 60, 64)
    generator = torch.Generator().manual_seed(0)
    claimed = wrong = 0
    for _ in range(12):
        order = torch.randperm(blocks, generator=generator)
        shuffled = [
            values.view(blocks, CONTEXT, -1)[order].reshape(blocks * CONTEXT, -1) for values in (left, right)
        ]
        models = [
            Model(values, (values.shape[1],), blocks, sampled, number, draws=1)
            for number, values in enumerate(shuffled)
        ]
        forward, _ = screen_pair(models[0].side, models[1].side, k, critical)
        reported = rho.gather(1, forward.partner).amax(1)
        certified = forward.rest <= reported
        claimed += int(certified.sum())
        wrong += int((certified & (rho.amax(1) > reported)).sum())
        others = rho.scatter(1, forward.partner, -torch.inf).amax(1)
        assert (others <= forward.rest).double().mean() > 0.95
    assert claimed > 300
    assert wrong <= 0.01 * claimed


def test_a_report_with_floor_and_drops_is_wrong_no_more_often_than_stated():
    """The whole way: candidates, floor, pairs dropped at every check, certificates with their evidence.

    Single blocks are permuted here, and no runs of neighbours, so that a block counts as one.
    """
    blocks, sampled, k, batch, floor, confidence = 1500, 300, 6, 10, 0.35, 0.95
    left, right = planted(blocks, CONTEXT, (60,), (60,), seed=9)
    rho = torch.from_numpy(reference.correlations(left.double().numpy(), right.double().numpy()))
    positions = [batches for batches in range(1, blocks // batch) if is_check(batches)]
    critical = critical_value(confidence, 60 + k * (1 + 2 * len(positions)), 64)
    generator = torch.Generator().manual_seed(0)
    claimed = wrong = later = dropped = seen = beyond = 0
    for _ in range(12):
        order = torch.randperm(blocks, generator=generator)
        models = [
            Model(values.view(blocks, CONTEXT, -1)[order].flatten(0, 1), (60,), blocks, sampled, n, draws=1)
            for n, values in enumerate((left, right))
        ]
        pairs = FollowedPairs(*screen_pair(models[0].side, models[1].side, k, critical), critical, floor)
        begun, low = pairs.active, pairs.has_given_up(0).clone()
        stream = torch.randperm(blocks, generator=generator)  # of the sample's blocks among the others
        for model in models:
            model.values = model.values.view(60, blocks, CONTEXT)[:, stream].flatten(1)
        before = 0
        for batches in [*positions, blocks // batch]:
            part = slice(before * batch * CONTEXT, batches * batch * CONTEXT)
            pairs.add(*(model.values[:, part].contiguous() for model in models))
            before = batches
            if batches not in positions:
                continue
            count = batches * batch * CONTEXT
            moments = []
            for model in models:
                sums = BlockSums(60, CPU)
                sums.add(model.values[:, :count], batches * batch, count)
                moments.append(sums.moments(count, model.shift))
            remaining = (1 / (batches * batch) - 1 / blocks) / (1 / sampled - 1 / blocks)
            pairs.drop(count, *moments, shrink=remaining**0.5)
        count = blocks * CONTEXT
        values = pairs.correlations(count, *(model.moments(count) for model in models))
        view = candidate_view(pairs.sides[0], pairs.of_candidates(0, values))
        share = sampled / blocks
        certified = certificates(view, pairs.sides[0], models[0].whole.effective_blocks(), share)
        reported = view.summary.best[:, 0]
        claimed += int(certified.sum())
        wrong += int((certified & (rho.amax(1) > reported + 1e-6)).sum())
        covered = rho.amax(1) <= torch.maximum(reported + 1e-6, pairs.sides[0].rest.double())
        seen, beyond = seen + len(covered), beyond + int((~covered).sum())
        later += int((pairs.has_given_up(0) & ~low).sum())
        dropped += begun - pairs.active
    assert claimed > 200
    assert later > 20
    assert dropped > 1000
    assert wrong <= (1 - confidence) * claimed
    assert beyond <= (1 - confidence) * seen


def rare():
    """A unit whose strongest partner shares with it three blocks that the sample lacks, and a plain unit."""
    generator = torch.Generator().manual_seed(7)
    blocks, sampled = 400, 80
    tokens = blocks * CONTEXT
    left, right = (torch.randn(tokens, size, generator=generator) for size in (2, 12))
    left += right[:, :2] * 2
    burst = torch.zeros(tokens)
    burst[200 * CONTEXT : 203 * CONTEXT] = 45.0
    left[:, 0] += burst
    right[:, 5] += burst
    models = [Model(v, (v.shape[1],), blocks, sampled, n, draws=0) for n, v in enumerate((left, right))]
    return left, right, models, sampled / blocks


def test_a_unit_that_the_sample_knows_nothing_of_is_not_certified():
    """The sample bounds all partners but the first far below it, and for this unit the bound is wrong."""
    left, right, models, share = rare()
    screened = screen_pair(models[0].side, models[1].side, 1, 5.0)
    pairs = follow(FollowedPairs(*screened, 5.0), *models, batch=640)
    count = len(left)
    values = pairs.correlations(count, *(model.moments(count) for model in models))
    view = candidate_view(pairs.sides[0], pairs.of_candidates(0, values))
    best, rest = view.summary.best[:, 0], pairs.sides[0].rest
    true = reference.correlations(left.double().numpy(), right.double().numpy())
    assert true[0].argmax() == 5
    assert true[0].max() > best[0] + 0.2
    assert (rest <= best).all()  # all that the variance says
    effective = models[0].whole.effective_blocks()
    assert certificates(view, screened[0], effective, share).tolist() == [False, True]
    # Were the same seen in as many blocks as the plain unit, and no more than ten were asked for.
    enough = EVIDENCE / (best.square() * share)
    for factor, expected in ((1.001, True), (0.999, False)):
        assert certificates(view, screened[0], enough * factor, share).tolist() == [expected] * 2
    assert certificates(view, screened[0], effective, 1.0).tolist() == [True, True]
    above = screened[0]._replace(rest=(best + 1e-3).float())
    assert not certificates(view, above, enough * 2, share).any()


def test_effective_blocks_count_those_that_carry_a_unit():
    values = torch.zeros(2, 40)
    values[0] = 1.0  # evenly over ten blocks of four
    values[1, 8:12] = 5.0  # in one
    sums = BlockSums(2, CPU)
    sums.add(values, 10, 40)
    torch.testing.assert_close(sums.effective_blocks(), torch.tensor([10.0, 1.0], dtype=torch.float64))
