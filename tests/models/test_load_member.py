"""Every source of models, and every way in which one is wrong."""

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import un_lightning
from un_lightning.config import MemberConfig, ModelsConfig, ModelSource, Site
from un_lightning.errors import UserError
from un_lightning.models.architecture import build_random
from un_lightning.models.loading import load_member
from un_lightning.models.paths import resolve_path


BROKEN = "transformer.h.1.mlp.c_fc.weight"


@pytest.fixture
def checkpoint(build_model, tmp_path):
    """Write a checkpoint of a tiny GPT-2 and return its folder."""
    folder = tmp_path / "checkpoint"
    build_model("gpt2").save_pretrained(folder)
    return folder


@pytest.fixture
def load_folder(family_config):
    """Load one member from a folder."""

    def load(folder, **settings) -> object:
        models = family_config("local", {"a": str(folder)}, **settings)
        return load_member(models, models.members[0])

    return load


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def random_family(architectures, kind="gpt2", seeds=(None,), **changes):
    members = [MemberConfig(name=f"seed{seed}", seed=seed) for seed in seeds]
    architecture = {**architectures[kind], **changes}
    return ModelsConfig(
        family="r",
        source=ModelSource.random,
        members=members,
        reference=members[0].name,
        architecture=architecture,
    )


def test_a_saved_model_loads_as_it_was(build_model, checkpoint, load_folder, tokens, capfd):
    capfd.readouterr()
    frozen = load_folder(checkpoint)
    assert capfd.readouterr() == ("", "")
    original = build_model("gpt2").state_dict()
    for name, weight in frozen.module.state_dict().items():
        assert torch.equal(weight, original[name])
    assert frozen.module.config._attn_implementation == "sdpa"
    with torch.no_grad():
        expected = build_model("gpt2")(tokens, output_hidden_states=True).hidden_states[1]
    # Equal but for the rounding of GPT-2's activation, which runs as one operation.
    torch.testing.assert_close(frozen.capture(tokens, Site.resid_post)[0], expected, atol=1e-5, rtol=1e-5)


def test_half_precision_loads_in_single(build_model, load_folder, tmp_path):
    build_model("gpt2").half().save_pretrained(tmp_path)
    frozen = load_folder(tmp_path)
    assert {weight.dtype for weight in frozen.parameters()} == {torch.float32}
    assert not frozen.module.training


def test_a_missing_folder(load_folder, tmp_path):
    with pytest.raises(UserError, match="model 'a': there is no folder '.*nowhere'.*models.source=hub"):
        load_folder(tmp_path / "nowhere")


def test_a_folder_without_config(checkpoint, load_folder):
    (checkpoint / "config.json").unlink()
    with pytest.raises(UserError, match=r"model 'a': .* holds no config.json.*save_pretrained"):
        load_folder(checkpoint)


@pytest.mark.parametrize("text", ["{", "{}"])
def test_a_broken_config(checkpoint, load_folder, text):
    (checkpoint / "config.json").write_text(text)
    with pytest.raises(UserError, match="model 'a' does not load from"):
        load_folder(checkpoint)


def test_a_folder_without_weights(checkpoint, load_folder):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model 'a': .* holds no \*\.safetensors"):
        load_folder(checkpoint)


def test_pickled_weights_load_only_when_allowed(build_model, checkpoint, load_folder, tokens):
    expected = load_folder(checkpoint).capture(tokens, Site.mlp_post)
    torch.save(build_model("gpt2").state_dict(), checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pickled weights only.*models\.allow_pickle=true"):
        load_folder(checkpoint)
    allowed = load_folder(checkpoint, allow_pickle=True).capture(tokens, Site.mlp_post)
    assert all(torch.equal(one, other) for one, other in zip(allowed, expected, strict=True))


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:0], lambda data: b"x" * len(data)]
)
def test_corrupted_weights(checkpoint, load_folder, damage):
    file = checkpoint / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match="model 'a': the weights in '.*checkpoint' are broken .* again"):
        load_folder(checkpoint)


def test_an_incomplete_checkpoint_is_not_filled_with_noise(checkpoint, load_folder):
    change_weights(checkpoint, lambda weights: weights.pop(BROKEN))
    with pytest.raises(UserError, match=f"1 weights are missing in .*{BROKEN}"):
        load_folder(checkpoint)


def test_weights_of_another_shape(checkpoint, load_folder):
    change_weights(checkpoint, lambda weights: weights.update({BROKEN: weights[BROKEN][:5].clone()}))
    with pytest.raises(UserError, match=f"1 weights are of another shape in .*{BROKEN}"):
        load_folder(checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(checkpoint, load_folder, value):
    change_weights(checkpoint, lambda weights: weights[BROKEN].view(-1)[7].fill_(value))
    with pytest.raises(UserError, match=f"model 'a': weight '{BROKEN}' holds NaN or infinite values"):
        load_folder(checkpoint)


def test_remote_code_is_refused(checkpoint, load_folder):
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    }
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match=r"models\.allow_remote_code=true"):
        load_folder(checkpoint)


def test_an_unreachable_hub(family_config):
    models = family_config("hub", {"a": "nobody/nothing"})
    with pytest.raises(UserError, match="model 'a' does not load from 'nobody/nothing': .*connect"):
        load_member(models, models.members[0])


def test_a_folder_never_stands_in_for_the_hub(checkpoint, family_config, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    models = family_config("hub", {"a": "checkpoint"})
    with pytest.raises(UserError, match=r"'checkpoint' is a folder here.*models\.source=local"):
        load_member(models, models.members[0])


@pytest.mark.parametrize("source", ["hub", "local"])
def test_bundled_folders(checkpoint, family_config, monkeypatch, source):
    package = checkpoint.parent / "package"
    (package / "families" / "tiny").mkdir(parents=True)
    checkpoint.rename(package / "families" / "tiny" / "a")
    monkeypatch.setattr(un_lightning, "__file__", str(package / "__init__.py"))
    assert Path(resolve_path("bundled:tiny/a")) == package / "families" / "tiny" / "a"
    models = family_config(source, {"a": "bundled:tiny/a"})
    assert load_member(models, models.members[0]).vocabulary == 320
    with pytest.raises(UserError, match="'bundled:tiny/b' is not shipped.* tiny/a"):
        resolve_path("bundled:tiny/b")


def test_other_paths_stay(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert resolve_path("EleutherAI/pythia-70m") == "EleutherAI/pythia-70m"
    assert resolve_path("~/model") == "/home/someone/model"


def test_random_weights_follow_the_seed_and_nothing_else(architectures):
    models = random_family(architectures, seeds=(None, 1, 0))  # a member without a seed has its place
    unseeded, second, first = (load_member(models, member) for member in models.members)
    torch.manual_seed(99)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    build_random("seed0", models.architecture, 0)  # alone: what checks types in tests draws from `random`
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002
    again = load_member(models, models.members[2])
    assert torch.equal(torch.get_rng_state(), states[0])
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
        assert torch.equal(weight, unseeded.state_dict()[name])
    assert not torch.equal(first.state_dict()["module." + BROKEN], second.state_dict()["module." + BROKEN])


@pytest.mark.parametrize("kind", ["gpt2", "neox_parallel", "neox_sequential", "llama"])
def test_random_models_run_with_fast_attention(architectures, kind, tokens, capfd):
    models = random_family(architectures, kind)
    frozen = load_member(models, models.members[0])
    assert capfd.readouterr() == ("", "")
    assert frozen.module.config._attn_implementation == "sdpa"
    assert len(frozen.capture(tokens, Site.mlp_post)) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt22"}, "'seedNone' builds no model: Unrecognized model identifier: gpt22"),
        ({"n_layers": 2}, "gpt2 has no setting 'n_layers'; did you mean n_layer"),
        ({"n_head": 3}, "builds no model: .*divisible"),
        ({"n_layer": "two"}, "builds no model: .*n_layer"),
        ({"model_type": "vit"}, "vit has no setting 'vocab_size'"),
    ],
)
def test_architectures_that_build_no_model(architectures, changes, message):
    models = random_family(architectures, **changes)
    with pytest.raises(UserError, match=message):
        load_member(models, models.members[0])


def test_an_architecture_that_is_no_language_model(family_config):
    models = family_config("random", {"a": None}, architecture={"model_type": "vit"})
    with pytest.raises(UserError, match="of 'a' builds no model: Unrecognized configuration class"):
        load_member(models, models.members[0])


def test_settings_that_transformers_translates_are_known(architectures):
    models = random_family(architectures, "neox_parallel", rotary_pct=0.5, rotary_emb_base=500)
    config = load_member(models, models.members[0]).module.config
    assert config.rope_parameters["partial_rotary_factor"] == 0.5


@pytest.fixture
def my_package(tmp_path, monkeypatch):
    """A user's own package with loaders."""
    source = (
        "from torch import nn\n"
        "def load(member):\n"
        "    model = nn.Sequential(nn.Embedding(320, int(member.path)), nn.Dropout(0.5), nn.ReLU())\n"
        "    return model.double()\n"
        "def nothing(member):\n"
        "    return member.name\n"
    )
    (tmp_path / "my_package.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_package", None)


def test_a_loader_gets_the_member(my_package, family_config, tokens):
    models = family_config("loader", {"a": "8"}, loader="my_package.load", units="2")
    frozen = load_member(models, models.members[0])
    (kept,) = frozen.capture(tokens, Site.units)
    assert isinstance(frozen.module, nn.Sequential)
    assert kept.dtype == torch.float32
    assert (kept == frozen.module[0](tokens).relu()).all()  # no dropout
    assert frozen.units(Site.units).widths == (8,)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ("my_package.nothing", "returned str for 'a', but must return a torch.nn.Module"),
        ("my_package.absent", r"'my_package.absent' cannot be imported.*PYTHONPATH"),
        ("no_such_package.load", "cannot be imported"),
        ("load", "cannot be imported"),
    ],
)
def test_loaders_that_give_no_module(my_package, family_config, loader, message):
    models = family_config("loader", {"a": "8"}, loader=loader, units="2")
    with pytest.raises(UserError, match=message):
        load_member(models, models.members[0])
