"""Composition with heads in factored form, against explicit matrices."""

import numpy as np
import torch

from tests.reference import weights as reference
from un_lightning.stats.head_composition import head_composition


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model(neurons=5, width=24, heads=3, head=4):
    reads, writes = draw(neurons, width, seed=0), draw(neurons, width, seed=1)
    return (
        reads,
        writes,
        *(draw(heads, width, head, seed=2 + i) for i in range(3)),
        draw(heads, head, width, seed=9),
    )


def test_factored_forms_match_explicit_matrices():
    arguments = model()
    found = torch.stack(head_composition(*arguments)).numpy()
    w_in, w_out, *heads = (argument.numpy() for argument in arguments)
    for neuron in range(5):
        for head in range(3):
            expected = reference.head_composition(w_in[neuron], w_out[neuron], *(W[head] for W in heads))
            np.testing.assert_allclose(found[:, neuron, head], expected, rtol=1e-10)


def test_the_query_side_is_the_query_side():
    """A regression of the reference scripts, which have Q and K swapped (method C8)."""
    reads, writes, _, W_K, W_V, W_O = model(heads=1)
    W_Q = torch.zeros(1, 24, 4, dtype=torch.float64)
    W_Q[0, :, 0] = writes[2]  # the head's query reads just what neuron 2 writes
    found = head_composition(reads, writes, W_Q, W_K, W_V, W_O)
    np.testing.assert_allclose(float(found.Q[2, 0]), 1.0, rtol=1e-12)
    assert float(found.Q[[0, 1, 3, 4], 0].max()) < 0.9
    assert float(found.K[2, 0]) < 0.9


def test_random_directions_give_one_over_root_width():
    reads, writes, *heads = model(neurons=4000, width=64, heads=2, head=8)
    for values in head_composition(reads, writes, *heads):
        np.testing.assert_allclose(values.square().mean().sqrt().item(), 1 / 8, rtol=0.03)


def test_a_neuron_without_weights_has_no_composition():
    reads, writes, *heads = model()
    reads[1], writes[2] = 0, 0
    found = head_composition(reads, writes, *heads)
    assert torch.isnan(found.O[1]).all()
    assert torch.isfinite(found.O[2]).all()
    for values in (found.Q, found.K, found.V):
        assert torch.isnan(values[2]).all()
        assert torch.isfinite(values[1]).all()
