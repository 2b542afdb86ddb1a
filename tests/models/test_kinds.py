"""Kinds of models that cannot be read, or not for every question, say so in their own words."""

import json

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from un_lightning.config import MemberConfig, ModelsConfig, ModelSource, Site
from un_lightning.errors import UserError
from un_lightning.models.architecture import build_random
from un_lightning.models.causal import reads_ahead, require_causal
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.loading import load_member


SMALL = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
GROUPED = SMALL | {"num_key_value_heads": 1, "vocab_size": 64}
KINDS = {
    "gpt2": {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 8, "vocab_size": 64},
    "mixtral": GROUPED | {"num_local_experts": 4},
    "qwen2_moe": GROUPED
    | {"num_experts": 4, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8},
    "phi3": GROUPED | {"pad_token_id": 0},
    "mamba": {"num_hidden_layers": 2, "hidden_size": 16, "state_size": 4, "vocab_size": 64},
    "bert": SMALL | {"max_position_embeddings": 32, "vocab_size": 64},
}


def model(kind):
    return FrozenModel(kind, build_random(kind, {"model_type": kind, **KINDS[kind]}, 0))


@pytest.mark.parametrize(
    ("kind", "site", "message"),
    [
        ("mixtral", Site.mlp_post, r"has no 'mlp_post' \(a mixture of experts: .*\); it has mlp_out"),
        ("qwen2_moe", Site.mlp_pre, "a mixture of experts"),
        ("mamba", Site.mlp_post, "a state-space model, whose blocks have no MLP"),
        ("phi3", Site.mlp_pre, "gate and input projection are one module"),
    ],
)
def test_a_site_that_a_kind_lacks(kind, site, message):
    with pytest.raises(UserError, match=message):
        model(kind).units(site)


def test_what_reads_in_both_directions_is_asked_for_no_predictions():
    bert = model("bert")
    assert bert.units(Site.mlp_post).widths == (32, 32)
    with pytest.raises(UserError, match="prediction asks .* model 'bert' reads its text in both directions"):
        require_causal(bert, "prediction")
    assert not any(reads_ahead(model(kind)) for kind in ("gpt2", "mixtral", "mamba", "phi3"))


def test_an_encoder_decoder_is_refused():
    with pytest.raises(UserError, match=r"model 'x' is an encoder-decoder \(t5\), which reads two texts"):
        build_random("x", {"model_type": "t5", "d_model": 16, "num_layers": 1, "num_heads": 2}, 0)


@pytest.fixture
def checkpoint(tmp_path):
    GPT2LMHeadModel(GPT2Config(**KINDS["gpt2"])).save_pretrained(tmp_path)

    def load(**changes):
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        member = MemberConfig(name="a", path=str(tmp_path))
        family = ModelsConfig(family="f", source=ModelSource.local, members=[member], reference="a")
        return load_member(family, member)

    load.folder = tmp_path
    return load


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "hqq", None])
def test_quantised_weights_are_refused(checkpoint, method):
    settings = {"quant_method": method, "bits": 4} if method else {"bits": 4}
    with pytest.raises(UserError, match=rf"'a' is quantised \({method or 'unknown'}\), so its"):
        checkpoint(quantization_config=settings)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_head": 0},
        {"n_head": 3},
        {"activation_function": "wiggle"},
        {"n_embd": -1},
        {"n_layer": "two"},
        {"vocab_size": 10**12},
        {"model_type": "unheard_of"},
    ],
)
def test_a_broken_config_is_one_sentence(checkpoint, changes):
    with pytest.raises(UserError, match="model 'a'"):
        checkpoint(**changes)


def test_adapters_and_gguf_are_named(checkpoint):
    folder = checkpoint.folder
    (folder / "model.safetensors").rename(folder / "weights.gguf")
    with pytest.raises(UserError, match="holds GGUF weights, which are quantised for inference"):
        checkpoint()
    (folder / "config.json").rename(folder / "adapter_config.json")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "gpt2"}))
    member = MemberConfig(name="a", path=str(folder))
    family = ModelsConfig(family="f", source=ModelSource.local, members=[member], reference="a")
    with pytest.raises(UserError, match="is an adapter of gpt2, not a model: merge the two"):
        load_member(family, member)
