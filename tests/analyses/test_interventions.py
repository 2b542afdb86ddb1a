"""The closed form, the replay of upper layers and hooked forward passes of the whole model agree."""

import numpy as np
import pytest
import torch

from tests.reference.interventions import hooked_logits, metrics
from un_lightning.analyses.interventions import COLUMNS, Frequency, Interventions, Item
from un_lightning.analyses.predictions import Predictions
from un_lightning.config.edits import EditKind
from un_lightning.models.edits import Edit
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.head import read_head


BLOCKS, CONTEXT, VOCABULARY = 3, 11, 97
VALUES = (-0.17, 0.0, 2.0, 6.0)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def model(request):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=3, n_embd=24, n_head=2, n_positions=16, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = GPT2LMHeadModel(config).eval()
        for weight in found.parameters():
            weight.data.add_(0.3 * torch.randn_like(weight))
    return found.to(request.param)


@pytest.fixture
def tokens():
    return torch.randint(1, VOCABULARY, (BLOCKS, CONTEXT), generator=torch.Generator().manual_seed(1))


def all_predictions(tokens):
    where = torch.arange(tokens.numel()).view(tokens.shape)[:, :-1].flatten()
    return Predictions(where, tokens.flatten()[where + 1], torch.zeros_like(where))


def tolerance(model):
    """float64 agrees to rounding; in float32 logits of a few tens carry 1e-6 of themselves."""
    return {"rtol": 1e-10, "atol": 1e-10} if model.dtype == torch.float64 else {"rtol": 1e-5, "atol": 3e-5}


def fixed(neuron, value, where):
    def change(activation):
        activation = activation.clone()
        activation[..., neuron] = torch.where(where, value, activation[..., neuron])
        return activation

    return change


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_way_gives_what_hooked_forwards_give(model, tokens, layer):
    """Also frozen and restored rows; layer 2 is the last one, which is solved in closed form."""
    neuron = 5
    frequency = Frequency(torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(2)).to(model.dtype))
    unit = torch.tensor([neuron])
    items = [
        Item((Edit(layer, EditKind.fix, unit, value=value),), row, 10 + row, 20 + row)
        for row, value in enumerate(VALUES, start=1)
    ]
    frozen = FrozenModel("a", model)
    where = torch.ones_like(tokens, dtype=torch.bool)
    where[:, 0] = False
    interventions = Interventions(frozen, read_head(frozen), items, frequency)
    interventions.tile = 700  # a few tokens at a time
    found = interventions.measure(tokens, where, all_predictions(tokens))
    assert interventions.replay.linear
    assert interventions.replay._in_sequence
    plain, scale = hooked_logits(model, tokens, {})
    log_frequency, u = frequency.log.numpy(), frequency.direction
    compare(found[:, 0], plain, plain, scale, tokens, log_frequency, tolerance(model))
    for row, value in enumerate(VALUES, start=1):
        changes = {layer: fixed(neuron, value, where)}
        logits, own_scale = hooked_logits(model, tokens, changes)
        restored = logits + ((plain - logits) @ u)[..., None] * u
        direct, _ = hooked_logits(model, tokens, changes, freeze=scale)
        for index, expected, by in (
            (row, logits, own_scale),
            (10 + row, direct, scale),
            (20 + row, restored, own_scale),
        ):
            compare(found[:, index], expected, plain, by, tokens, log_frequency, tolerance(model))


def compare(found, logits, plain, scale, tokens, log_frequency, tolerance):
    expected = metrics(logits, plain, tokens, log_frequency) | {"scale": scale[:, :-1].numpy()}
    for name, column in zip(COLUMNS, found, strict=True):
        np.testing.assert_allclose(column, expected[name].reshape(-1), err_msg=name, **tolerance)
