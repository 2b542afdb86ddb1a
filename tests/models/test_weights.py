"""Weights are what the model computes with, in one orientation, and reading them changes nothing."""

import numpy as np
import pytest
import torch

from tests.reference.weights import gpt2_processed
from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel


NORMS = {  # module before the MLP of layer 1, and whether it takes the mean away
    "gpt2": ("transformer.h.1.ln_2", True),
    "neox_parallel": ("gpt_neox.layers.1.post_attention_layernorm", True),
    "neox_sequential": ("gpt_neox.layers.1.post_attention_layernorm", True),
    "opt": ("model.decoder.layers.1.final_layer_norm", True),
    "llama": ("model.layers.1.post_attention_layernorm", False),
}


@pytest.mark.parametrize("kind", NORMS)
def test_processed_weights_give_the_pre_activations(kind, build_model, tokens):
    """Folding is right exactly where w_in · (x - mean) / scale + b_in is what the model's neurons see."""
    module = build_model(kind)
    path, centred = NORMS[kind]
    seen = []
    handle = module.get_submodule(path).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model = FrozenModel("m", module)
    expected = model.capture(tokens, Site.mlp_pre)[1]
    handle.remove()
    x = seen[0].double().reshape(*tokens.shape, -1)
    x = x - x.mean(-1, keepdim=True) if centred else x
    epsilon = {"opt": 1e-5, "llama": 1e-6}.get(kind, 1e-5)
    x = x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()
    layer = model.weights().layers[1]
    found = x @ layer.w_in.double().T + layer.b_in.double()
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_raw_weights_give_the_trained_parameters(kind, build_model):
    module = build_model(kind)
    weights = FrozenModel("m", module).weights(processed=False)
    if kind == "gpt2":
        block = module.transformer.h[2]
        torch.testing.assert_close(weights.layers[2].w_in, block.mlp.c_fc.weight.T, rtol=0, atol=0)
        torch.testing.assert_close(weights.layers[2].b_in, block.mlp.c_fc.bias, rtol=0, atol=0)
        torch.testing.assert_close(weights.layers[2].w_out, block.mlp.c_proj.weight, rtol=0, atol=0)
        query = block.attn.c_attn.weight[:, :32].reshape(32, 2, 16).transpose(0, 1)
        torch.testing.assert_close(weights.layers[2].W_Q, query, rtol=0, atol=0)
        assert not weights.gated
    else:
        block = module.model.layers[2]
        torch.testing.assert_close(weights.layers[2].w_in, block.mlp.gate_proj.weight, rtol=0, atol=0)
        torch.testing.assert_close(weights.layers[2].w_out, block.mlp.down_proj.weight.T, rtol=0, atol=0)
        assert not weights.layers[2].b_in.any()
        assert weights.gated
    torch.testing.assert_close(weights.W_E, module.get_input_embeddings().weight, rtol=0, atol=0)
    torch.testing.assert_close(weights.W_U, module.get_output_embeddings().weight.T, rtol=0, atol=0)


def test_processed_weights_of_gpt2_match_folding_by_hand(build_model):
    module = build_model("gpt2")
    state = {name: value.double().numpy() for name, value in module.state_dict().items()}
    blocks, W_E, W_U = gpt2_processed(state, layers=3, heads=2)
    weights = FrozenModel("m", module).weights()
    for found, expected in zip(weights.layers, blocks, strict=True):
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name).numpy(), value, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(weights.W_E.numpy(), W_E, atol=2e-6)
    np.testing.assert_allclose(weights.W_U.numpy(), W_U, atol=2e-6)


def test_the_model_stays_as_it_is(build_model, tokens):
    module = build_model("gpt2")
    attention = module.config._attn_implementation
    names = [name for name, _ in module.named_modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    logits = module(tokens).logits
    weights = FrozenModel("m", module).weights()
    weights.layers[0].w_in.zero_()
    assert [name for name, _ in module.named_modules()] == names
    assert module.config._attn_implementation == attention
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(module(tokens).logits, logits)


def test_shared_keys_and_values_are_repeated(build_model):
    weights = FrozenModel("m", build_model("llama")).weights(processed=False)
    layer = weights.layers[0]
    assert layer.W_Q.shape == layer.W_K.shape == layer.W_V.shape == (2, 32, 16)
    assert torch.equal(layer.W_K[0], layer.W_K[1])


@pytest.mark.parametrize(("kind", "parallel"), [("neox_parallel", True), ("neox_sequential", False)])
def test_a_parallel_block_is_known(kind, parallel, build_model):
    weights = FrozenModel("m", build_model(kind)).weights()
    assert weights.parallel is parallel
    assert weights.widths == (48, 48, 48)


def test_a_mixture_of_experts_is_refused(build_model):
    with pytest.raises(UserError, match="layer 0 of 'moe' has no neurons of its own"):
        FrozenModel("moe", build_model("mixtral")).weights()


def test_a_module_of_ones_own_is_refused():
    with pytest.raises(UserError, match="no Hugging Face model"):
        FrozenModel("own", torch.nn.Sequential(torch.nn.Embedding(8, 4))).weights()
