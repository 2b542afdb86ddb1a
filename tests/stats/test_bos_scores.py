"""Scores of directions for keys, and the choice of pairs, by looking at all of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.stats.bos_scores import extremes, query_directions, scores, strongest_pairs


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_scores_are_those_of_the_formula():
    W_Q, keys, written = draw(0, 2, 6, 3), draw(1, 2, 3), draw(2, 5, 6)
    written[3] = 0
    found = scores(written, query_directions(W_Q, keys))
    for head in range(2):
        for neuron in (0, 1, 2, 4):
            unit = written[neuron] / written[neuron].norm()
            wanted = float(unit @ W_Q[head] @ keys[head]) / np.sqrt(3)
            assert float(found[head, neuron]) == pytest.approx(wanted)
    assert found[:, 3].isnan().all()


@given(st.integers(0, 500), st.integers(1, 9))
def test_pairs_are_the_strongest_of_either_sign_by_turns(seed, count):
    tables = [draw(seed, 2, 0), draw(seed + 1, 2, 4), draw(seed + 2, 2, 8)]
    chosen = strongest_pairs(tables, count)
    values = [float(tables[layer][head, neuron]) for layer, head, neuron in chosen]
    everything = torch.cat([table.flatten() for table in tables])
    assert values[0] == everything.max()
    assert len({neuron for _, _, neuron in chosen}) == len(chosen) <= count
    assert len({(layer, head) for layer, head, _ in chosen}) == len(chosen)
    both = min((everything > 0).sum(), (everything < 0).sum())
    if both > 20 and count >= 2:  # there is one left of each sign
        assert [np.sign(value) for value in values[:2]] == [1, -1]
    positive = [value for value in values if value > 0]
    assert positive == sorted(positive, reverse=True)


def test_neurons_that_write_nothing_are_never_chosen():
    table = torch.tensor([[torch.nan, 0.0, -2.0, 1.0]])
    assert strongest_pairs([table], 4) == [(0, 0, 3)]  # there is one head
    high, low = extremes(table, 2)
    assert high.tolist() == [[3, 1]]
    assert low.tolist() == [[2, 1]]
