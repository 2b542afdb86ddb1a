"""Attention recomputed from folded weights against transformers' own."""

import pytest
import torch

from tests.reference.weights import gpt2_processed
from un_lightning.errors import UserError
from un_lightning.models.attention import embed, read_attention
from un_lightning.stats.attention_paths import bos_attention, causal_pattern, centred


@pytest.fixture(params=[{}, {"scale_attn_by_inverse_layer_idx": True}], ids=["plain", "by layer"])
def model(build_model, request):
    return build_model("gpt2", **request.param).double()


def test_patterns_match_eager_attention(model, tokens):
    model.set_attn_implementation("eager")
    outputs = model(tokens, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(embed(model, tokens), outputs.hidden_states[0], rtol=0, atol=0)
    for layer, own in enumerate(read_attention("a", model)):
        values, scale = centred(outputs.hidden_states[layer], own.eps)
        normal = values / scale[..., None]
        heads = lambda weight, normal=normal: torch.einsum("bpd,hde->bhpe", normal, weight)
        queries, keys = heads(own.W_Q) + own.bias_q[:, None], heads(own.W_K) + own.bias_k[:, None]
        truth = outputs.attentions[layer]
        torch.testing.assert_close(causal_pattern(queries, keys, 0), truth, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(bos_attention(queries, keys, 0), truth[..., 0], rtol=1e-10, atol=1e-12)
        later = bos_attention(queries[..., 3:, :], keys, 3)
        torch.testing.assert_close(later, truth[..., 3:, 0], rtol=1e-10, atol=1e-12)


def test_weights_are_the_processed_ones(model):
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    blocks, _, _ = gpt2_processed(state, layers=3, heads=2)
    for layer, (own, truth) in enumerate(zip(read_attention("a", model), blocks, strict=True)):
        assert own.score_scale == (1 / (layer + 1) if model.config.scale_attn_by_inverse_layer_idx else 1)
        truth["W_Q"] = own.score_scale * truth["W_Q"]
        for name in ("W_Q", "W_K", "W_V", "W_O", "w_out"):
            torch.testing.assert_close(getattr(own, name), torch.from_numpy(truth[name]), msg=name)


@pytest.mark.parametrize("kind", ["neox_parallel", "llama", "opt", "bloom"])
def test_other_architectures_are_refused(build_model, kind):
    with pytest.raises(UserError, match=r"attention of GPT-2.*model 'a' is '"):
        read_attention("a", build_model(kind))


def test_scores_of_another_scale_are_refused(build_model):
    with pytest.raises(UserError, match="scale_attn_weights"):
        read_attention("a", build_model("gpt2", scale_attn_weights=False))


def test_half_precision_is_read_as_float32(build_model):
    (own, *_) = read_attention("a", build_model("gpt2").bfloat16())
    assert own.W_Q.dtype == own.w_out.dtype == torch.float32
