"""Paths into queries, cut at all positions at once, against one position at a time by brute force."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.reference.attention import Layer
from un_lightning.models.attention import read_attention
from un_lightning.stats import attention_paths
from un_lightning.stats.attention_paths import Head, HeadPaths


ROWS, CONTEXT, WIDTH, HEADS, HEAD, FIRST = 3, 9, 12, 3, 1, 4


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=WIDTH, n_head=HEADS, n_positions=CONTEXT, vocab_size=20, n_inner=7)
    model = GPT2LMHeadModel(config).double().eval()
    for weight in model.parameters():
        weight.data.add_(0.4 * torch.randn_like(weight))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def stream():
    generator = torch.Generator().manual_seed(1)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    return normal(ROWS, CONTEXT, WIDTH) + 0.5, normal(ROWS, CONTEXT, 7)


def paths(model, residual, dtype=torch.float64):
    own = read_attention("a", model)[1]
    weights = (own.W_Q, own.bias_q, own.W_K, own.bias_k, own.W_V, own.W_O)
    head = Head(*(weight[HEAD].to(dtype) for weight in weights), own.eps)
    return HeadPaths(head, residual.to(dtype), FIRST), read_attention("a", model)[0].w_out.to(dtype)


@pytest.fixture(params=[1 << 24, 1], ids=["at once", "in pieces"])
def pieces(request, monkeypatch):
    monkeypatch.setattr(attention_paths, "ELEMENTS", request.param)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_all_positions_at_once_are_one_position_at_a_time(model, stream, dtype, tolerance):
    residual, activation = stream
    found, w_out = paths(model, residual, dtype)
    state, eps = model.state_dict(), model.config.layer_norm_epsilon
    writes, reads = (Layer(state, layer, HEADS, eps) for layer in (0, 1))
    for neuron in (0, 5):
        seen = found.cut(activation[..., neuron].to(dtype), w_out[neuron])
        for row in range(ROWS):
            for place in range(FIRST, CONTEXT):
                own = residual[row].numpy()
                removed = activation[row, place, neuron].item() * writes.w_out[neuron]
                for result, taken in ((found.original, 0 * removed), (seen, removed)):
                    bos, norm = reads.seen(own, HEAD, place, taken)
                    assert float(result.bos[row, place - FIRST]) == pytest.approx(bos, abs=tolerance)
                    assert float(result.norm[row, place - FIRST]) == pytest.approx(norm, rel=10 * tolerance)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_screening_a_layer_is_cutting_each_of_its_neurons(model, stream, dtype, tolerance):
    residual, activation = stream
    found, w_out = paths(model, residual, dtype)
    row, place = torch.tensor([0, 0, 2, 1]), torch.tensor([FIRST, 8, 6, 5])
    values = activation[row, place].to(dtype)
    original, without = found.screen(row, place, values, w_out)
    wanted = found.original.bos[row, place - FIRST]
    torch.testing.assert_close(original, wanted, rtol=0, atol=tolerance)
    for neuron in range(7):
        seen = found.cut(activation[..., neuron].to(dtype), w_out[neuron])
        truth = seen.bos[row, place - FIRST]
        torch.testing.assert_close(without[:, neuron], truth, rtol=0, atol=tolerance)


def test_a_silent_neuron_changes_nothing(model, stream):
    residual, activation = stream
    found, w_out = paths(model, residual)
    seen = found.cut(torch.zeros_like(activation[..., 0]), w_out[0])
    assert np.array_equal(seen.bos, found.original.bos)
    assert np.array_equal(seen.norm, found.original.norm)
