"""Top examples against a full sort, and the token sample against indexing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import activations as reference
from tests.stats.ranks import continued, heavy, merge, splits
from un_lightning.stats.token_sample import TokenSample
from un_lightning.stats.top_examples import NEVER, TopExamples


CPU = torch.device("cpu")
UNITS = 24


def places_of(tokens, seed=5):
    """Places with gaps, not in order."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(10 * tokens)[:tokens])


def fresh(k=6, units=UNITS):
    return TopExamples(units, k, CPU, torch.float32)


def add(examples, values, places, sizes=(1000,)):
    for part in splits(len(values), sizes):
        for columns in (slice(0, 7), slice(7, values.shape[1])):
            examples.add(columns, values[part, columns], places[part])
    return examples


def check(examples, values, places, k=6):
    value, place = reference.top(values.numpy(), places.numpy(), k)
    assert (examples.value.numpy() == value).all()
    assert (examples.place.numpy() == place).all()


@pytest.mark.parametrize("sizes", [(1,), (5, 90), (64,), (1000,)])
def test_they_equal_a_full_sort_ties_and_all(sizes):
    """Column 0 is constant and column 2 is rounded: ties go to the smallest place."""
    values, places = heavy(), places_of(700)
    check(add(fresh(), values, places, sizes), values, places)


def test_nothing_stands_in_for_missing_examples():
    """Method C.4: the reference's buffers begin at value 0 and index 0."""
    values, places = -heavy(3).abs() - 1, places_of(3)
    examples = add(fresh(), values, places)
    value, place = reference.top(values.numpy(), places.numpy(), 3)
    assert (examples.value[:, :3].numpy() == value).all()
    assert (examples.place[:, :3].numpy() == place).all()
    assert (examples.value[:, 3:] == -torch.inf).all()
    assert (examples.place[:, 3:] == NEVER).all()


def test_not_a_number_is_no_example_and_hides_none():
    values, places = heavy(), places_of(700)
    values[::7, 9] = torch.nan
    examples = add(fresh(), values, places, (100,))
    kept = ~values[:, 9].isnan()
    value, place = reference.top(values[kept][:, 9:10].numpy(), places[kept].numpy(), 6)
    assert (examples.value[9].numpy() == value).all()
    assert (examples.place[9].numpy() == place).all()


@pytest.mark.parametrize("world", [2, 3])
def test_merged_ranks_equal_one(world):
    values, places = heavy(), places_of(700)
    ranks = []
    for rank in range(world):
        own, at = values[rank::world], places[rank::world]
        ranks.append(add(continued(add(fresh(), own[:50], at[:50]), fresh()), own[50:], at[50:], (30,)))
    merge(ranks)
    for examples in ranks:
        check(examples, values, places)


def test_ranks_with_few_or_no_tokens_merge():
    values, places = heavy(4), places_of(4)
    ranks = [add(fresh(), values[:3], places[:3]), add(fresh(), values[3:], places[3:]), fresh()]
    merge(ranks)
    value, place = reference.top(values.numpy(), places.numpy(), 4)
    for examples in ranks:
        assert (examples.value[:, :4].numpy() == value).all()
        assert (examples.place[:, :4].numpy() == place).all()
        assert (examples.place[:, 4:] == NEVER).all()


@given(st.permutations(range(80)), st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_neither_order_nor_split_matters(order, sizes, k):
    values, places = heavy(80, 10).round(), places_of(80)
    examples = add(fresh(k, 10), values[list(order)], places[list(order)], sizes)
    check(examples, values, places, k)


def sample_of(values, places, chosen, sizes=(1000,)):
    sample = TokenSample(places[chosen].sort().values, values.shape[1], CPU, torch.float32)
    for part in splits(len(values), sizes):
        hits, slots = sample.find(places[part])
        sample.add_tokens(slots)
        for columns in (slice(0, 7), slice(7, values.shape[1])):
            sample.add(columns, values[part][hits, columns], slots)
    return sample


@pytest.mark.parametrize("sizes", [(1,), (90, 5), (1000,)])
def test_the_sample_holds_the_chosen_tokens(sizes):
    values, places = heavy(), places_of(700)
    chosen = torch.arange(0, 700, 7)
    sample = sample_of(values, places, chosen, sizes)
    order = places[chosen].argsort()
    assert (sample.tensors["values"] == values[chosen][order]).all()
    assert (sample.tensors["filled"] == 1).all()


def test_examples_across_the_range_are_evenly_spaced_in_each_bin():
    values, places = heavy(), places_of(700)
    chosen = torch.arange(200)
    sample = sample_of(values, places, chosen)
    found, at, quantile = sample.across([0.0, 0.5, 1.0], 2)
    assert quantile.tolist() == pytest.approx([25.5 / 200, 75.5 / 200, 125.5 / 200, 175.5 / 200])
    for unit in range(UNITS):
        column = values[:200, unit].numpy()
        order = np.lexsort((places[:200].numpy(), column))[[25, 75, 125, 175]]
        assert (found[:, unit].numpy() == column[order]).all()
        assert (at[:, unit].numpy() == places[:200].numpy()[order]).all()


def test_chosen_tokens_that_never_came_are_left_out():
    values, places = heavy(), places_of(700)
    sample = TokenSample(places.sort().values, UNITS, CPU, torch.float32)
    hits, slots = sample.find(places[:10])
    sample.add_tokens(slots)
    sample.add(slice(0, UNITS), values[:10][hits], slots)
    found, at, _ = sample.across([0.0, 1.0], 30)
    assert len(found) == 10
    assert set(at[:, 5].tolist()) == set(places[:10].tolist())
    assert TokenSample(places[:5].sort().values, 3, CPU, torch.float32).across([0.0, 1.0], 2)[0].shape == (
        0,
        3,
    )


def test_ranks_fill_disjoint_slots():
    values, places = heavy(), places_of(700)
    chosen = torch.arange(0, 700, 3)
    ordered = places[chosen].sort().values
    ranks = []
    for rank in range(2):
        sample = TokenSample(ordered, UNITS, CPU, torch.float32)
        hits, slots = sample.find(places[rank::2])
        sample.add_tokens(slots)
        sample.add(slice(0, UNITS), values[rank::2][hits], slots)
        ranks.append(sample)
    merge(ranks)
    whole = sample_of(values, places, chosen)
    for rank in ranks:
        assert (rank.tensors["values"] == whole.tensors["values"]).all()
        assert (rank.tensors["filled"] == 1).all()
