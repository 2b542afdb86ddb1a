"""Errors of units and their final partners: coverage where documents depend on each other, early and late."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from tests.reference import jackknife as reference
from un_lightning.analyses.correlation.intervals import correlation_interval
from un_lightning.analyses.correlation.partner_errors import Followed, partner_errors
from un_lightning.data.stretches import Order, group_numbers


GROUPS = 20


def documents(generator, count):
    """Document and group of each token; documents are of many lengths."""
    document = np.repeat(np.arange(count), generator.geometric(1 / 8, count))
    return document, group_numbers(Order(np.arange(len(document)), document), GROUPS)


def pair(generator, document, units, rho):
    """Activations [tokens, units] of two models, half of whose variance is common to a document's tokens."""
    draw = lambda: (
        (
            generator.normal(size=(document[-1] + 1, units))[document]
            + generator.normal(size=(len(document), units))
        )
        / np.sqrt(2)
    )
    left = draw()
    return left, rho * left + np.sqrt(1 - rho**2) * draw()


def followed(left, right, group, start, ranks=1):
    """Running sums at the end of each group, as readings have them; groups dealt to ranks in equal shares."""
    each = (group.max() + 1) // ranks
    borders = np.flatnonzero(np.diff(group, prepend=-1))
    own = lambda values: np.add.reduceat(values, borders).reshape(ranks, each, *values.shape[1:]).cumsum(1)
    tensor = lambda values: torch.from_numpy(own(values))
    centred = [values - values.mean(0) for values in (left, right)]
    corr = (centred[0] * centred[1]).mean(0) / (centred[0].std(0) * centred[1].std(0))
    since = torch.as_tensor(start).expand(ranks, left.shape[1])
    parts = left * right, left, left**2, right, right**2
    return Followed(since, *map(tensor, parts), torch.from_numpy(corr)), tensor(np.ones(len(left)))


def test_equals_leaving_out_documents_by_brute_force():
    """With two other models, partners known from the third group on: the first three are one."""
    generator = np.random.default_rng(1)
    document, group = documents(generator, 200)
    pairs = [pair(generator, document, 3, rho) for rho in (0.4, 0.8)]
    made = [followed(*one, group, start=2) for one in pairs]
    found = partner_errors([one for one, _ in made], made[0][1], torch.ones(3, dtype=torch.bool))
    assert found.own.all()
    merged = np.maximum(group, 2)
    each = np.array(
        [[reference.leave_one_out(*(v[:, unit] for v in one), merged) for unit in range(3)] for one in pairs]
    )
    whole = np.array([[np.corrcoef(a[:, unit], b[:, unit])[0, 1] for unit in range(3)] for a, b in pairs])
    expected = [
        reference.unequal_groups_error(*row, np.unique(merged, return_counts=True)[1])
        for row in zip(whole.mean(0), each.mean(0), strict=True)
    ]
    np.testing.assert_allclose(found.stderr, expected, rtol=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.95])
@pytest.mark.parametrize("ranks", [1, 2])
def test_stated_coverage_is_real(rho, ranks):
    """Partners that were known from the beginning, early, or too late; 1,000 intervals at 95 % of each.

    With two ranks the second one followed a partner always, later, or never.
    """
    generator = np.random.default_rng(2)
    document, group = documents(generator, 240)
    assert group.max() + 1 == GROUPS
    since = np.array([0, 4, 15] if ranks == 1 else [0, 3, GROUPS // ranks])
    kind = np.arange(3000) % 3
    start = torch.from_numpy(since[kind] * np.arange(2)[-ranks:, None])
    one, count = followed(*pair(generator, document, len(kind), rho), group, start, ranks)
    found = partner_errors([one], count, torch.ones(len(kind), dtype=torch.bool))
    reach = student.ppf(0.975, len(found.tokens) - 1) * found.stderr.numpy()
    low, high = correlation_interval(one.corr.numpy(), reach)
    covered = [np.mean(((low <= rho) & (rho <= high))[kind == number]) for number in range(3)]
    assert found.own.numpy().tolist() == (kind < 2).tolist()
    assert 0.92 <= min(covered[:2]) <= max(covered[:2]) <= 0.975
    assert covered[2] > 0.95  # whose own groups are too few: with care


def test_no_valid_unit_lacks_an_error():
    """Not even where all partners became the best late."""
    generator = np.random.default_rng(4)
    document, group = documents(generator, 240)
    one, count = followed(*pair(generator, document, 5, 0.4), group, start=16)
    valid = torch.tensor([True, True, False, True, True])
    found = partner_errors([one], count, valid)
    assert (found.stderr > 0).tolist() == valid.tolist()
