"""Sums by token and by position against a loop over tokens."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import activations as reference
from tests.stats.ranks import continued, heavy, merge, splits
from un_lightning.stats.bags import Bags
from un_lightning.stats.by_position import ByPosition
from un_lightning.stats.by_token import ByToken


CPU = torch.device("cpu")
ROWS = 40
WIDTHS = (9, 15)


def rows_of(tokens, seed=2):
    """Zipf-like rows: some tokens come often, some once, the last ones never."""
    weights = 1 / np.arange(1, ROWS - 4)
    drawn = np.random.default_rng(seed).choice(ROWS - 5, size=tokens, p=weights / weights.sum())
    return torch.from_numpy(drawn)


def add(statistic, values, rows, sizes=(1000,)):
    for part in splits(len(values), sizes):
        own, where = rows[part], torch.arange(part.stop - part.start)
        statistic.add_tokens(own)
        for layer, columns in enumerate((slice(0, 9), slice(9, 24))):
            statistic.add(layer, values[part, columns].contiguous(), Bags.of(own, where))
    return statistic


def fresh():
    return ByToken(ROWS, WIDTHS, CPU, torch.float32)


def test_bags_leave_out_what_does_not_count():
    values = heavy(9)
    bags = Bags.of(torch.tensor([5, 2, 5, 2]), torch.tensor([0, 3, 8, 4]))
    assert bags.groups.tolist() == [2, 5]
    torch.testing.assert_close(bags.sums(values), torch.stack([values[3] + values[4], values[0] + values[8]]))
    nothing = Bags.of(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    assert nothing.sums(values).shape == (0, values.shape[1])


@pytest.mark.parametrize("sizes", [(1,), (64, 3), (1000,)])
def test_counts_means_and_maxima_equal_a_loop(sizes):
    values, rows = heavy(), rows_of(700)
    statistic = add(fresh(), values, rows, sizes)
    expected = reference.by_token(values.numpy(), rows.numpy())
    means = torch.cat([statistic.means(0), statistic.means(1)], 1)
    maxima = torch.cat([statistic.tensors["max000"], statistic.tensors["max001"]], 1)
    for row in range(ROWS):
        count, mean, largest = expected.get(row, (0, None, None))
        assert statistic.count[row] == count
        if count:
            np.testing.assert_allclose(means[row].numpy(), mean, rtol=2e-6, atol=1e-5)
            assert (maxima[row].numpy() == largest).all()
        else:
            assert means[row].isnan().all()
            assert (maxima[row] == -torch.inf).all()


def test_a_maximum_below_zero_is_not_zero():
    """Method C.4: the reference's maxima begin at 0."""
    statistic = add(fresh(), heavy(), rows_of(700))
    assert (statistic.tensors["max000"][:10, 1] < 0).all()


@pytest.mark.parametrize("by", ["mean", "max"])
def test_top_tokens_are_sorted_and_frequent_enough(by):
    values, rows = heavy(), rows_of(700)
    statistic = add(fresh(), values, rows)
    found, chosen = statistic.top(1, by, 6, min_count=8)
    expected = reference.by_token(values[:, 9:].numpy(), rows.numpy())
    frequent = [(row, entry[1 if by == "mean" else 2]) for row, entry in expected.items() if entry[0] >= 8]
    assert 6 < len(frequent) < len(expected)
    for unit in range(WIDTHS[1]):
        best = sorted((entry[unit] for _, entry in frequent), reverse=True)[:6]
        np.testing.assert_allclose(found[:, unit].numpy(), best, rtol=2e-6, atol=1e-5)
    assert (statistic.count[chosen] >= 8).all()


def test_too_few_frequent_tokens_leave_gaps_and_tokens_never_seen_stay_out():
    statistic = add(fresh(), heavy(), rows_of(700))
    most = int(statistic.count.max())
    found, _ = statistic.top(0, "mean", 3, min_count=most)
    assert found[0].isfinite().all()
    assert (found[1:] == -torch.inf).all()
    found, chosen = statistic.top(0, "max", ROWS + 10, min_count=1)
    assert len(found) == ROWS
    assert (statistic.count[chosen[found[:, 0] > -torch.inf]] > 0).all()


def test_half_on_each_rank_with_a_stop_in_the_middle_is_the_same():
    values, rows = heavy(), rows_of(700)
    whole = add(fresh(), values, rows)
    ranks = []
    for rank in range(2):
        first = add(fresh(), values[rank:200:2], rows[rank:200:2])
        ranks.append(add(continued(first, fresh()), values[200 + rank :: 2], rows[200 + rank :: 2]))
    merge(ranks)
    for rank in ranks:
        for name, tensor in whole.tensors.items():
            exact = not name.startswith("sum")
            tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-3}
            torch.testing.assert_close(rank.tensors[name], tensor, **tolerance)


@given(st.permutations(range(60)), st.lists(st.integers(1, 40), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_neither_order_nor_split_matters(order, sizes):
    values, rows = heavy(60), rows_of(60)
    whole = add(fresh(), values, rows)
    other = add(fresh(), values[list(order)], rows[list(order)], sizes)
    assert (whole.count == other.count).all()
    assert (whole.tensors["max001"] == other.tensors["max001"]).all()
    torch.testing.assert_close(whole.tensors["sum001"], other.tensors["sum001"], rtol=1e-5, atol=1e-3)


def test_positions_equal_a_loop_for_any_split_and_number_of_ranks():
    values = heavy()
    positions = torch.arange(700) % 13
    positions = torch.where(positions == 4, 5, positions)  # nothing counts at 4
    ranks = []
    for rank in range(2):
        statistic = ByPosition(("z",), 13, 24, CPU)
        for part in splits(350, (90,)):
            own, at = values[rank::2][part], positions[rank::2][part]
            statistic.add_tokens(at)
            bags = Bags.of(at, torch.arange(len(at)))
            for columns in (slice(0, 10), slice(10, 24)):
                statistic.add("z", columns, own[:, columns].contiguous(), bags)
        ranks.append(statistic)
    merge(ranks)
    expected = reference.by_token(values.numpy(), positions.numpy())
    for position in range(13):
        count, mean, _ = expected.get(position, (0, None, None))
        assert ranks[1].count[position] == count
        if count:
            np.testing.assert_allclose(ranks[1].means("z")[position].numpy(), mean, rtol=2e-6, atol=1e-5)
    assert ranks[0].means("z")[4].isnan().all()
