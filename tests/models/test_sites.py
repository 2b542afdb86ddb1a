"""Sites against hooks that know each architecture by heart, and against TransformerLens itself."""

import sys

import pytest
import torch
from torch import nn

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel


NEOX = {
    Site.mlp_pre: "gpt_neox.layers.{}.mlp.dense_h_to_4h out",
    Site.mlp_post: "gpt_neox.layers.{}.mlp.dense_4h_to_h in",
    Site.mlp_out: "gpt_neox.layers.{}.mlp out",
    Site.attn_z: "gpt_neox.layers.{}.attention.dense in",
    Site.resid_post: "gpt_neox.layers.{} out",
}
WHERE = {
    "gpt2": {
        Site.mlp_pre: "transformer.h.{}.mlp.c_fc out",
        Site.mlp_post: "transformer.h.{}.mlp.c_proj in",
        Site.mlp_out: "transformer.h.{}.mlp out",
        Site.attn_z: "transformer.h.{}.attn.c_proj in",
        Site.resid_post: "transformer.h.{} out",
    },
    "neox_parallel": NEOX,
    "neox_sequential": NEOX,
    "llama": {
        Site.mlp_pre: "model.layers.{}.mlp.gate_proj out",
        Site.mlp_post: "model.layers.{}.mlp.down_proj in",
        Site.mlp_out: "model.layers.{}.mlp out",
        Site.attn_z: "model.layers.{}.self_attn.o_proj in",
        Site.resid_post: "model.layers.{} out",
    },
}
CASES = [(kind, site) for kind, sites in WHERE.items() for site in sites]


def hooked(model, tokens, where, layers=3):
    """Capture with hooks of this test's own, in a forward of the whole model."""
    template, side = where.split()
    kept = {}
    handles = []
    for layer in range(layers):
        module = model.get_submodule(template.format(layer))
        if side == "in":

            def hook(_module, args, layer=layer):
                kept[layer] = args[0].clone()

            handles.append(module.register_forward_pre_hook(hook))
        else:

            def hook(_module, _args, output, layer=layer):
                kept[layer] = (output[0] if isinstance(output, tuple) else output).clone()

            handles.append(module.register_forward_hook(hook))
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return [kept[layer] for layer in range(layers)]


def assert_same(got, expected, tolerance=0.0):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("kind", "site"), CASES)
def test_a_site_is_what_plain_hooks_see(build_model, tokens, kind, site):
    model = build_model(kind)
    frozen = FrozenModel("a", model)
    expected = hooked(model, tokens, WHERE[kind][site])
    assert_same(frozen.capture(tokens, site), expected)
    assert frozen.units(site).widths == tuple(activation.shape[2] for activation in expected)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", WHERE)
def test_sites_are_those_of_transformer_lens(build_model, tokens, kind):
    """Tolerance: the bridge computes attention eagerly, which rounds differently."""
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    frozen = FrozenModel("a", build_model(kind))
    other = build_model(kind)
    bridge = build_bridge_from_module(other, type(other).__name__, hf_config=other.config)
    hooks = {
        Site.mlp_out: "blocks.{}.hook_mlp_out",
        Site.attn_z: "blocks.{}.attn.hook_z",
        Site.resid_post: "blocks.{}.hook_resid_post",
    }
    if kind != "llama":  # the bridge does not fire hooks inside gated MLPs unless it processes the weights
        hooks |= {Site.mlp_pre: "blocks.{}.mlp.hook_pre", Site.mlp_post: "blocks.{}.mlp.hook_post"}
    with torch.no_grad():
        _, cache = bridge.run_with_cache(tokens)
    for site, hook in hooks.items():
        expected = [cache[hook.format(layer)].flatten(2) for layer in range(3)]
        assert_same(frozen.capture(tokens, site), expected, tolerance=2e-5)


def test_neurons_of_a_gated_mlp_are_gate_times_up(build_model, tokens):
    model = build_model("llama")
    frozen = FrozenModel("a", model)
    up = hooked(model, tokens, "model.layers.{}.mlp.up_proj out")
    pre = frozen.capture(tokens, Site.mlp_pre)
    expected = [nn.functional.silu(gate) * linear for gate, linear in zip(pre, up, strict=True)]
    assert_same(frozen.capture(tokens, Site.mlp_post), expected)


def test_resid_post_is_the_hidden_state(build_model, tokens):
    model = build_model("gpt2")
    with torch.no_grad():
        states = model(tokens, output_hidden_states=True).hidden_states
    residual = FrozenModel("a", model).capture(tokens, Site.resid_post)
    assert_same(residual[:-1], list(states[1:-1]))  # transformers normalises the last one


def test_flattened_mlps_come_back_as_batch_and_position(build_model, tokens):
    """OPT's MLP works on [batch · position, unit]."""
    model = build_model("opt")
    frozen = FrozenModel("a", model)
    for site, where in {Site.mlp_post: "fc2 in", Site.mlp_out: "fc2 out"}.items():
        flat = hooked(model, tokens, f"model.decoder.layers.{{}}.{where}")
        assert_same(frozen.capture(tokens, site), [one.reshape(2, 7, -1) for one in flat])


def test_mlp_out_leaves_the_residual_out(build_model, tokens):
    """BLOOM's MLP module returns its output plus the residual."""
    model = build_model("bloom")
    expected = hooked(model, tokens, "transformer.h.{}.mlp.dense_4h_to_h out")
    assert_same(FrozenModel("a", model).capture(tokens, Site.mlp_out), expected)


@pytest.mark.parametrize(
    ("kind", "site", "available"),
    [
        ("phi3", Site.mlp_pre, "mlp_post, mlp_out, attn_z, resid_post"),  # gate and up are one projection
        (
            "mixtral",
            Site.mlp_post,
            "mlp_out, attn_z, resid_post",
        ),  # experts, and no neuron runs on every token
    ],
)
def test_a_missing_site_names_those_that_exist(build_model, kind, site, available):
    frozen = FrozenModel("small", build_model(kind))
    with pytest.raises(UserError, match=f"'small' .* has no '{site}' .*; it has {available}, and"):
        frozen.units(site)


def test_a_site_that_some_layers_lack(build_model):
    model = build_model("gpt2")
    del model.transformer.h[1].mlp.c_fc
    with pytest.raises(UserError, match=r"has no 'mlp_pre' in layers \[1\]; it has mlp_post, mlp_out, "):
        FrozenModel("a", model).units(Site.mlp_pre)


def test_mlp_out_is_what_the_residual_stream_gets(build_model, tokens):
    """Gemma 2 normalises the output of its MLP module before it adds it."""
    model = build_model("gemma2")
    expected = hooked(model, tokens, "model.layers.{}.post_feedforward_layernorm out")
    assert_same(FrozenModel("a", model).capture(tokens, Site.mlp_out), expected)


def test_a_foreign_module_has_globs_only(tokens):
    frozen = FrozenModel("mine", nn.Sequential(nn.Embedding(320, 8), nn.GELU()))
    with pytest.raises(UserError, match=r"'mine' is no Hugging Face model.*models\.units.* 0, 1$"):
        frozen.run(tokens, {Site.mlp_post: lambda *_: None})


def test_an_unknown_architecture_has_globs_only(build_model, tokens):
    class Novel(type(build_model("gpt2"))):
        pass

    frozen = FrozenModel("new", Novel(build_model("gpt2").config), "transformer.h.*.mlp.act")
    with pytest.raises(UserError, match="knows no sites of Novel .model 'new'.*transformer.wte"):
        frozen.units(Site.mlp_post)
    assert frozen.units(Site.units).widths == (128, 128, 128)


class Deep(nn.Module):
    """Twelve blocks, more than one digit."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(320, 8)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"up": nn.Linear(8, 3 + layer), "act": nn.GELU(), "down": nn.Linear(3 + layer, 8)})
            for layer in range(12)
        )

    def forward(self, tokens):
        stream = self.embed(tokens)
        for block in self.blocks:
            stream = stream + block["down"](block["act"](block["up"](stream)))
        return stream


@pytest.mark.parametrize("glob", ["blocks.*.act", "blocks.*.up"])
def test_globs_sort_naturally(tokens, glob):
    frozen = FrozenModel("deep", Deep(), glob)
    assert [point.path for point in frozen.points(Site.units)] == [
        glob.replace("*", str(layer)) for layer in range(12)
    ]
    assert frozen.units(Site.units).widths == tuple(range(3, 15))
    expected = hooked(frozen.module, tokens, f"{glob} out".replace("*", "{}"), layers=12)
    assert_same(frozen.capture(tokens, Site.units), expected)


def test_globs_do_without_transformer_lens(monkeypatch, tokens, build_model):
    monkeypatch.setitem(sys.modules, "transformer_lens", None)
    for name in list(sys.modules):
        if name.startswith("transformer_lens."):
            monkeypatch.setitem(sys.modules, name, None)
    frozen = FrozenModel("a", build_model("gpt2"), "transformer.h.?.mlp.act")
    assert [activation.shape for activation in frozen.capture(tokens, Site.units)] == [(2, 7, 128)] * 3
    with pytest.raises(ImportError):
        frozen.units(Site.mlp_post)


def test_a_glob_without_match_names_modules(tokens):
    with pytest.raises(
        UserError, match=r"'layers.*' matches no module of 'deep'.* embed, blocks, blocks.0,.*…"
    ):
        FrozenModel("deep", Deep(), "layers.*").units(Site.units)


def test_the_site_units_needs_a_glob():
    with pytest.raises(UserError, match=r"needs models\.units"):
        FrozenModel("deep", Deep()).units(Site.units)
