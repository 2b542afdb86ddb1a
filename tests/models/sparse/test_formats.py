"""Encoders as SAELens, sparsify and dictionary_learning save them, against their formulas in float64."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.sparse.test_encoder import gpt2
from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.side import Side
from un_lightning.models.sparse_encoder import load_encoder


WIDTH, LATENTS, K = 16, 24, 4
GENERATOR = torch.Generator().manual_seed(3)
DRAW = lambda *shape: torch.randn(*shape, generator=GENERATOR)
X = DRAW(6, WIDTH)
HOOK = "blocks.1.hook_resid_post"
SAE = {
    "W_enc": DRAW(WIDTH, LATENTS), "W_dec": DRAW(LATENTS, WIDTH), "b_enc": DRAW(LATENTS),
    "b_dec": DRAW(WIDTH), "threshold": DRAW(LATENTS).abs(), "scaling_factor": DRAW(LATENTS).abs(),
}  # fmt: skip
LINEAR = {
    "encoder.weight": DRAW(LATENTS, WIDTH), "encoder.bias": DRAW(LATENTS), "W_dec": DRAW(LATENTS, WIDTH),
    "b_dec": DRAW(WIDTH), "bias": DRAW(WIDTH), "decoder.weight": DRAW(WIDTH, LATENTS), "k": torch.tensor(K),
    "threshold": torch.tensor(0.7), "decoder_bias": DRAW(WIDTH), "gate_bias": DRAW(LATENTS),
    "mag_bias": DRAW(LATENTS), "r_mag": 0.1 * DRAW(LATENTS),
}  # fmt: skip
wide = lambda tensor: tensor.double().numpy()
relu = lambda values: np.maximum(values, 0)


def largest(values, k):
    kept = values >= np.sort(values, axis=-1)[..., -k][..., None]
    return values * kept


@pytest.fixture
def saelens(tmp_path):
    def write(weights=SAE, **config):
        settings = {
            "architecture": "standard",
            "hook_name": "blocks.1.hook_resid_post",
            "d_in": WIDTH,
        } | config
        (tmp_path / "cfg.json").write_text(json.dumps(settings))
        save_file(weights, tmp_path / "sae_weights.safetensors")
        return str(tmp_path)

    return write


BEFORE = (wide(X) - wide(SAE["b_dec"])) @ wide(SAE["W_enc"]) + wide(SAE["b_enc"])
RIGHT = {
    "relu": relu(BEFORE),
    "topk": largest(relu(BEFORE), K),
    "tanh-relu": np.tanh(relu(BEFORE)),
    "jump": relu(BEFORE) * (wide(SAE["threshold"]) < BEFORE),
    "scaled": relu(BEFORE) * wide(SAE["scaling_factor"]),
    "transcoder": relu(BEFORE + wide(SAE["b_dec"]) @ wide(SAE["W_enc"])),
}


@pytest.mark.parametrize(
    ("right", "config"),
    [
        (
            "relu",
            {"activation_fn_str": "relu", "activation_fn_kwargs": {}, "finetuning_scaling_factor": False},
        ),
        ("relu", {"activation_fn": "relu", "hook_point": HOOK, "noise_scale": 0.1}),
        ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
        ("topk", {"architecture": "topk", "k": K}),
        ("tanh-relu", {"activation_fn_str": "tanh-relu"}),
        ("jump", {"architecture": "jumprelu"}),
        ("scaled", {"finetuning_scaling_factor": True}),
        ("scaled", {"uses_scaling_factor": True}),
        (
            "transcoder",
            {"architecture": "skip_transcoder", "hook_name_out": "blocks.1.hook_mlp_out", "d_out": 8},
        ),
    ],
)
def test_saelens(saelens, right, config):
    found = wide(load_encoder(saelens(**config))(X))
    np.testing.assert_allclose(found, RIGHT[right], atol=1e-4)  # float32 of size 30


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"gate_temperature": 2.0}, "gate_temperature=2.0"),
        ({"metadata": {"hook_name": "blocks.1.hook_resid_post", "window": 3}}, "window=3"),
        ({"activation_fn_str": "topk"}, "names no k"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 100}}, "keeps k=100 of 24"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2, "soft": True}}, "soft=True"),
        ({"activation_fn_str": "gelu"}, "activation_fn_str is 'gelu'; known are"),
        ({"architecture": "jumprelu", "activation_fn_str": "topk"}, "exclude each other"),
        ({"hook_head_index": 3}, "one head"),
        ({"model_from_pretrained_kwargs": {"first_n_layers": 2}}, "first_n_layers=2"),
        ({"rescale_acts_by_decoder_norm": True}, "known for topk alone"),
    ],
)
def test_settings_that_are_not_understood_are_refused_by_name(saelens, config, message):
    with pytest.raises(UserError, match=message):
        load_encoder(saelens(**config))


def test_nan_and_other_shapes_are_refused_at_load(saelens):
    damaged = SAE | {"b_enc": SAE["b_enc"].clone().index_fill_(0, torch.tensor([3]), torch.nan)}
    with pytest.raises(UserError, match="bias holds NaN or infinity"):
        load_encoder(saelens(damaged))
    with pytest.raises(UserError, match=r"bias is \[3\], but should be \[24\]"):
        load_encoder(saelens(SAE | {"b_enc": torch.zeros(3)}))


@pytest.mark.parametrize("hook", ["blocks.1.ln2.hook_normalized", "blocks.1.mlp.hook_in"])
def test_a_transcoder_reads_what_goes_into_the_mlp(saelens, hook):
    """SAELens' hooks are before and after the weights of the norm."""
    module = gpt2()
    norm = module.transformer.h[1].ln_2
    with torch.no_grad():
        norm.weight.copy_(1 + 0.2 * DRAW(WIDTH))
        norm.bias.copy_(DRAW(WIDTH))
    seen = []
    norm.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].double().numpy()))
    encoder = load_encoder(saelens(architecture="transcoder", hook_name=hook))
    model = FrozenModel("a", module, encoders=[encoder])
    (found,) = model.capture(torch.arange(8).view(1, 8), Site.latents)
    there = seen[0] - seen[0].mean(-1, keepdims=True)
    there = there / np.sqrt((there**2).mean(-1, keepdims=True) + norm.eps)
    if hook.endswith("hook_in"):
        there = there * wide(norm.weight) + wide(norm.bias)
    right = relu(there @ wide(SAE["W_enc"]) + wide(SAE["b_enc"]))
    np.testing.assert_allclose(wide(found), right, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "right"),
    [
        ({}, lambda values: largest(relu(values), K)),
        ({"signed": True}, lambda values: largest(values, K)),
        ({"activation": "groupmax"}, "groups"),
        ({"transcode": True, "skip_connection": True}, lambda values: largest(relu(values), K)),
    ],
)
def test_sparsify(tmp_path, config, right):
    """The folder names the module; a transcoder reads its input."""
    folder = tmp_path / "h.1.mlp"
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"k": K, "d_in": WIDTH, "expansion_factor": 2} | config))
    save_file(LINEAR, folder / "sae.safetensors")
    encoder = load_encoder(str(folder))
    encode = lambda x: x @ wide(LINEAR["encoder.weight"]).T + wide(LINEAR["encoder.bias"])
    values = encode(wide(X) - (0 if config.get("transcode") else wide(LINEAR["b_dec"])))
    if right == "groups":
        groups = relu(values).reshape(len(X), K, -1)
        expected = np.where(groups == groups.max(-1, keepdims=True), groups, 0).reshape(len(X), LATENTS)
    else:
        expected = right(values)
    np.testing.assert_allclose(wide(encoder(X)), expected, atol=1e-4)
    assert encoder.place.side is (Side.input if config.get("transcode") else Side.output)
    ids = torch.zeros(1, 3, dtype=torch.long)
    (latents,) = FrozenModel("a", gpt2(), encoders=[encoder]).capture(ids, Site.latents)
    assert latents.shape == (1, 3, LATENTS)


def dictionary(kind):
    w = {key: wide(value) for key, value in LINEAR.items()}
    encode = lambda x: x @ w["encoder.weight"].T
    if kind == "GatedAutoEncoder":
        shared = encode(wide(X) - w["decoder_bias"])
        latents = (shared + w["gate_bias"] > 0) * relu(shared * np.exp(w["r_mag"]) + w["mag_bias"])
        return latents * np.linalg.norm(w["decoder.weight"], axis=0)
    if kind == "AutoEncoder":
        return relu(encode(wide(X) - w["bias"]) + w["encoder.bias"])
    if kind == "AutoEncoderNew":
        return relu(encode(wide(X)) + w["encoder.bias"])
    before = relu(encode(wide(X) - w["b_dec"]) + w["encoder.bias"])
    return largest(before, K) if kind == "AutoEncoderTopK" else before * (before > w["threshold"])


@pytest.mark.parametrize(
    "kind", ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE"]
)
def test_dictionary_learning(tmp_path, kind):
    trainer = {"dict_class": kind, "layer": 1, "submodule_name": "resid_post_layer_1", "lr": 1e-3, "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
    torch.save(LINEAR, tmp_path / "ae.pt")
    with pytest.raises(UserError, match=r"is pickled: set models.allow_pickle=true"):
        load_encoder(str(tmp_path))
    pickled = load_encoder(str(tmp_path), allow_pickle=True)
    np.testing.assert_allclose(wide(pickled(X)), dictionary(kind), atol=1e-4)
    assert (pickled.place.site, pickled.place.layer) == (Site.resid_post, 1)
    save_file(LINEAR, tmp_path / "ae.safetensors")
    assert torch.equal(load_encoder(str(tmp_path))(X), pickled(X))


def test_what_is_no_autoencoder(tmp_path):
    (tmp_path / "weights.bin").touch()
    with pytest.raises(UserError, match=r"no sparse autoencoder lies in .*there is weights.bin"):
        load_encoder(str(tmp_path))
    (tmp_path / "ae.pt").write_bytes(b"damaged")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot read"):
        load_encoder(str(tmp_path), allow_pickle=True)
