"""GPT-2's activation as one operation: the same numbers, wherever a model comes from but a user's loader."""

from types import SimpleNamespace

import pytest
import torch
from transformers.activations import ACT2FN

from un_lightning.config import Site
from un_lightning.models import loading
from un_lightning.models.architecture import build_random
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.fused import fuse_activations
from un_lightning.models.loading import load_member


FUSED = type(ACT2FN["gelu_pytorch_tanh"])


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_fast"])
def test_same_function(architectures, activation, tokens):
    settings = architectures["gpt2"] | {"activation_function": activation, "initializer_range": 0.5}
    module = build_random("a", settings, 0).double().eval()
    written_out = FrozenModel("a", module).capture(tokens, Site.mlp_post)
    assert fuse_activations(module) == len(written_out)
    for before, after in zip(
        written_out, FrozenModel("a", module).capture(tokens, Site.mlp_post), strict=True
    ):
        assert before.abs().max() > 1
        # gelu_fast writes √(2/π) with ten digits.
        torch.testing.assert_close(after, before, atol=1e-14 if activation == "gelu_new" else 1e-9, rtol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_other_functions_stay(architectures, activation):
    module = build_random("a", architectures["gpt2"] | {"activation_function": activation}, 0)
    before = [child for child in module.modules() if type(child) is type(ACT2FN[activation])]
    assert fuse_activations(module) == 0
    assert [child for child in module.modules() if type(child) is type(ACT2FN[activation])] == before != []


def test_random_and_saved_models_are_fused(architectures, family_config, build_model, tmp_path):
    build_model("gpt2").save_pretrained(tmp_path)
    local = family_config("local", {"a": str(tmp_path)})
    random = family_config("random", {"a": None}, architecture=architectures["gpt2"])
    for config in (local, random):
        module = load_member(config, config.members[0]).module
        assert [type(block.mlp.act) for block in module.transformer.h] == [FUSED] * len(module.transformer.h)


def test_a_loaders_module_stays_as_it_is(family_config, build_model, monkeypatch):
    module = build_model("gpt2")
    kinds = [type(child) for child in module.modules()]
    monkeypatch.setattr(loading, "import_module", lambda _: SimpleNamespace(load=lambda member: module))  # noqa: ARG005
    config = family_config("loader", {"a": None}, loader="mine.load", units="*.act")
    assert [type(child) for child in load_member(config, config.members[0]).module.modules()] == kinds
