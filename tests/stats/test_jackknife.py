"""Standard errors of correlations: against brute force, and their coverage in simulations."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from tests.reference import jackknife as reference
from un_lightning.stats.jackknife import GroupSums, standard_error
from un_lightning.stats.readings import PairReadings, own_sums


def sums_of(left, right, groups):
    """Sums of arrays [tokens, pairs] within equal groups of neighbouring tokens."""
    parts = [torch.from_numpy(x).reshape(groups, -1, x.shape[1]) for x in (left, right)]
    count = torch.full((groups,), parts[0].shape[1], dtype=torch.float64)
    left, right = parts
    return GroupSums(
        count, left.sum(1), right.sum(1), (left**2).sum(1), (right**2).sum(1), (left * right).sum(1)
    )


def correlated(generator, tokens, pairs, rho, document=1):
    """Pairs of correlation `rho`; all tokens of a document are shifted together, in both units."""
    shape = (tokens // document, pairs)
    common = [np.repeat(generator.normal(size=shape), document, axis=0) for _ in range(2)]
    own = [generator.normal(size=(tokens, pairs)) for _ in range(2)]
    first, second = ((c + o) / np.sqrt(2) if document > 1 else o for c, o in zip(common, own, strict=True))
    return first, rho * first + np.sqrt(1 - rho**2) * second


def interval(groups, confidence=0.95):
    """Bounds on Fisher's z scale, as the analysis makes them."""
    z = torch.atanh(groups.total().correlation()[0])
    error = standard_error(z, torch.atanh(groups.without_each().correlation()), groups.tokens)
    reach = student.ppf(0.5 + confidence / 2, len(groups.tokens) - 1)
    return torch.tanh(z - reach * error), torch.tanh(z + reach * error)


def test_equals_leaving_out_the_tokens_themselves():
    generator = np.random.default_rng(0)
    left, right = correlated(generator, 300, 4, 0.6)
    groups = sums_of(left, right, 10)
    index = np.repeat(np.arange(10), 30)
    expected = np.stack([reference.leave_one_out(left[:, i], right[:, i], index) for i in range(4)], axis=1)
    np.testing.assert_allclose(groups.without_each().correlation(), expected, rtol=1e-10)
    error = standard_error(
        groups.total().correlation()[0], groups.without_each().correlation(), groups.tokens
    )
    np.testing.assert_allclose(error, reference.equal_groups_error(expected), rtol=1e-8)


def test_two_halves_of_a_group_count_as_their_tokens_say():
    """Groups of different size are weighted: a tiny extra group changes next to nothing."""
    generator = np.random.default_rng(1)
    left, right = correlated(generator, 4000, 50, 0.5)
    even = sums_of(left, right, 20)
    few = [torch.cat([part[:-1], part[-1:] * 0.99, part[-1:] * 0.01]) for part in even]
    uneven = GroupSums(*few)
    errors = [
        standard_error(g.total().correlation()[0], g.without_each().correlation(), g.tokens)
        for g in (even, uneven)
    ]
    np.testing.assert_allclose(errors[1], errors[0], rtol=0.1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("document", [1, 25])
def test_stated_coverage_is_real(rho, document):
    """2,000 intervals at 95 %: four standard errors of a share are 2 points."""
    generator = np.random.default_rng(2)
    left, right = correlated(generator, 2000, 2000, rho, document)
    low, high = interval(sums_of(left, right, 20))
    covered = ((low <= rho) & (rho <= high)).double().mean()
    assert 0.93 <= covered <= 0.97


def test_groups_that_cut_documents_up_would_state_too_much():
    """Why neighbours stay together: with single tokens as groups the same data cover less."""
    generator = np.random.default_rng(3)
    left, right = correlated(generator, 2000, 1000, 0.5, document=100)
    order = np.arange(2000).reshape(20, 100).T.reshape(-1)  # every group gets some of each document
    whole = interval(sums_of(left, right, 20))
    cut = interval(sums_of(left[order], right[order], 20))
    coverage = [((low <= 0.5) & (high >= 0.5)).double().mean() for low, high in (whole, cut)]
    assert coverage[1] < coverage[0] - 0.1


def test_one_group_has_no_error():
    generator = np.random.default_rng(4)
    groups = sums_of(*correlated(generator, 50, 3, 0.5), 1)
    assert (
        standard_error(groups.total().correlation()[0], groups.without_each().correlation(), groups.tokens)
        .isnan()
        .all()
    )


def test_ranks_with_different_candidates_are_aligned():
    """A partner counts as followed where every rank that read anything followed it."""
    product = torch.arange(12.0).reshape(2, 6)
    device = torch.device("cpu")
    ranks = [PairReadings(3, 2, 2, 2, rank, device) for rank in range(3)]
    ranks[0].choose(torch.tensor([[1, 4], [0, 5]]))
    ranks[1].choose(torch.tensor([[4, 1], [5, 2]]))  # the third rank has no tokens
    for group in range(2):
        ranks[0].read(group, product * (group + 1))
        ranks[1].read(group, product * 10)
    for name, tensor in ranks[0].tensors.items():
        for other in ranks[1:]:
            tensor += other.tensors[name]
    names, followed, running = ranks[0].aligned()
    assert names.tolist() == [[1, 4], [0, 5]]
    assert followed.tolist() == [[1, 1], [0, 1]]
    own = own_sums(running)
    assert own.shape == (6, 2, 2)
    assert own[:, 0].tolist() == [[1, 4], [1, 4], [10, 40], [0, 0], [0, 0], [0, 0]]
    assert own[:, 1, 1].tolist() == [11, 11, 110, 0, 0, 0]
