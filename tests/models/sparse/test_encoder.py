"""Latents of sparse autoencoders as units, against the formulas in float64."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import store, stream, tokenizer, tokens, validate  # noqa: F401
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import CorrelationConfig, Site
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.sparse_encoder import load_encoder


WIDTH, LATENTS = 16, 40


def gpt2(seed=0):
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=2, n_embd=WIDTH, n_head=2, n_positions=32, vocab_size=4096, initializer_range=0.3
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture
def folder(tmp_path):
    """Writes an encoder of random weights."""

    def write(architecture="standard", name="sae", seed=0, weights=None, **config):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator)
        tensors = {
            "W_enc": draw(WIDTH, LATENTS), "W_dec": draw(LATENTS, WIDTH), "b_enc": draw(LATENTS),
            "b_dec": draw(WIDTH), "threshold": draw(LATENTS).abs(), "b_gate": draw(LATENTS),
            "b_mag": draw(LATENTS), "r_mag": 0.1 * draw(LATENTS),
        }  # fmt: skip
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        settings = {
            "architecture": architecture,
            "d_in": WIDTH,
            "d_sae": LATENTS,
            "apply_b_dec_to_input": True,
        }
        settings |= {"metadata": {"hook_name": "blocks.1.hook_resid_post"}, "k": 3} | config
        (place / "cfg.json").write_text(json.dumps(settings))
        save_file(tensors | (weights or {}), place / "sae_weights.safetensors")
        return str(place), {name: tensor.double().numpy() for name, tensor in tensors.items()}

    return write


def encoded(architecture, x, w, k=3):
    if architecture == "gated":
        gate = x @ w["W_enc"] + w["b_gate"] > 0
        return gate * np.maximum(x @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"], 0)
    before = x @ w["W_enc"] + w["b_enc"]
    if architecture == "jumprelu":
        return np.where(before > w["threshold"], np.maximum(before, 0), 0)
    if architecture == "topk":
        kept = before >= np.sort(before, axis=-1)[..., -k][..., None]
        return np.maximum(before, 0) * kept
    return np.maximum(before, 0)


@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "topk", "gated"])
@pytest.mark.parametrize("applied", [True, False])
def test_latents_of_every_architecture(folder, architecture, applied):
    path, weights = folder(architecture, apply_b_dec_to_input=applied)
    x = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(9))
    inputs = x.double().numpy() - (weights["b_dec"] if applied else 0)
    found = load_encoder(path)(x).double().numpy()
    np.testing.assert_allclose(found, encoded(architecture, inputs, weights), atol=1e-4)  # float32 of size 30


@pytest.mark.parametrize("norm", ["layer_norm", "constant_norm_rescale"])
def test_normalised_inputs(folder, norm):
    path, weights = folder(normalize_activations=norm)
    x = 3 + torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(9))
    inputs = x.double().numpy()
    if norm == "layer_norm":
        inputs = (inputs - inputs.mean(-1, keepdims=True)) / (inputs.std(-1, ddof=1, keepdims=True) + 1e-5)
    else:
        inputs = inputs * np.sqrt(WIDTH) / np.linalg.norm(inputs, axis=-1, keepdims=True)
    expected = encoded("standard", inputs - weights["b_dec"], weights)
    np.testing.assert_allclose(load_encoder(path)(x).double().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("hook", "site", "layer", "centred"),
    [
        ("blocks.1.hook_resid_post", Site.resid_post, 1, True),
        ("blocks.1.hook_resid_pre", Site.resid_post, 0, False),
        ("blocks.0.hook_mlp_out", Site.mlp_out, 0, False),
        ("blocks.1.attn.hook_z", Site.attn_z, 1, False),
    ],
)
def test_a_model_gives_the_latents_of_its_encoders(folder, hook, site, layer, centred):
    """One encoder is a layer; one of a centred residual stream sees it centred."""
    metadata = {"hook_name": hook, "model_from_pretrained_kwargs": {"center_writing_weights": centred}}
    path, weights = folder(metadata=metadata)
    model = FrozenModel("a", gpt2(), encoders=[load_encoder(path), load_encoder(path)])
    assert model.units(Site.latents).widths == (LATENTS, LATENTS)
    ids = torch.randint(4096, (2, 7), generator=torch.Generator().manual_seed(1))
    there = model.capture(ids, site)[layer].double().numpy()
    if centred:
        there = there - there.mean(-1, keepdims=True)
    expected = encoded("standard", there - weights["b_dec"], weights)
    first, second = model.capture(ids, Site.latents)
    np.testing.assert_allclose(first.double().numpy(), expected, atol=1e-3)  # float32 of size 100
    assert torch.equal(first, second)


def test_encoders_of_one_model_that_share_latents_in_another_order(folder, validate):  # noqa: F811
    """Correlation 1, and the partners are the permutation."""
    order = torch.randperm(LATENTS, generator=torch.Generator().manual_seed(2))
    one, weights = folder()
    moved = {
        "W_enc": torch.from_numpy(weights["W_enc"]).float()[:, order].contiguous(),
        "b_enc": torch.from_numpy(weights["b_enc"]).float()[order],
    }
    two, _ = folder(name="moved", weights=moved)
    models = {
        name: FrozenModel(name, gpt2(), encoders=[load_encoder(path)])
        for name, path in (("a", one), ("b", two))
    }
    config = CorrelationConfig(site=Site.latents, draws=1)
    results = validate(CorrelationAnalysis(config, Family("test", models, "a", None), seed=0))
    neurons = results.tables["neurons"].query("model == 'a' and valid")
    assert len(neurons) > LATENTS / 2
    np.testing.assert_allclose(neurons["max_corr"], 1.0, atol=1e-5)
    best = results.tables["matches"].query("model == 'a' and rank == 1").set_index("neuron")["match_neuron"]
    assert (best == [int(order.argsort()[neuron]) for neuron in best.index]).all()


def test_a_model_without_encoders_says_what_is_missing():
    with pytest.raises(UserError, match=r"needs sparse autoencoders.*encoders="):
        FrozenModel("a", gpt2()).units(Site.latents)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "temporal"}, "its architecture is 'temporal'; known are standard, gated"),
        ({"normalize_activations": "expected_average_only_in"}, "fold it first"),
        (
            {"metadata": {"hook_name": "blocks.1.hook_q"}},
            "trained at 'blocks.1.hook_q'; known are",
        ),
        ({"metadata": {"hook_name": "blocks.0.hook_resid_pre"}}, "the embedding"),
    ],
)
def test_what_is_not_known_is_refused(folder, config, message):
    path, _ = folder(**config)
    with pytest.raises(UserError, match=message):
        load_encoder(path)


def test_other_widths_and_layers_and_damaged_files(folder, tmp_path):
    path, _ = folder(metadata={"hook_name": "blocks.5.hook_resid_post"})
    with pytest.raises(UserError, match="has 2 layers, but an encoder was trained on layer 5"):
        FrozenModel("a", gpt2(), encoders=[load_encoder(path)]).units(Site.latents)
    path, _ = folder(metadata={"hook_name": "blocks.1.mlp.hook_post"})
    model = FrozenModel("a", gpt2(), encoders=[load_encoder(path)])
    with pytest.raises(UserError, match="takes 16 inputs, but 64 pass there"):
        model.capture(torch.zeros(1, 3, dtype=torch.long), Site.latents)
    (tmp_path / "sae" / "sae_weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot read the sparse autoencoder"):
        load_encoder(path)
