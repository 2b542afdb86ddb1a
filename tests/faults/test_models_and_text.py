"""Models and text at the limits: every analysis gives numbers that are right, or one message."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from tests.faults.table import BLOCKS, CONTEXT, random_tokens, write_store
from un_lightning.models import family


RARE = 4000
"""A token that only the last block has."""
REFUSE = {
    "exact": "no unit of 'a' can be correlated: each is constant, or was NaN or infinite at some token",
    "screen": "no unit of 'a' can be correlated: each is constant, or was NaN or infinite at some token",
    "entropy": "the predictions of 'a' are not finite at some tokens of this text",
    "ablation": "the predictions of 'a' are not finite at some tokens of this text",
    "attention": "the activations of 'a' are not finite at some tokens of this text",
}
"""Analyses of which nothing is left when all activations at one token are not finite."""


def neurons(folder, model="a"):
    """The table of neurons of a model, by layer and neuron; None for an analysis without one."""
    path = folder / "tables" / "neurons.parquet"
    if not path.exists():
        return None
    table = pd.read_parquet(path)
    table = table[table["model"] == model] if "model" in table else table
    return table.set_index(["layer", "neuron"])


def test_no_token_is_counted(analysis, go, tmp_path):
    store = write_store(tmp_path / "ends", np.zeros((BLOCKS, CONTEXT), dtype=int))
    stopped = go(analysis, store)
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err.startswith("error: no token")
    assert "counted" in stopped.err
    assert "data.exclude" in stopped.err


@pytest.fixture
def strange_text(tmp_path):
    """Batches without a counted token, subsets whose names are hard to show, and how many tokens count."""
    tokens = random_tokens()
    tokens[4:12] = 0
    subsets = ["a"] * 4 + ["\x1b[31m<b>\n"] * 8 + ["ü \N{RIGHT-TO-LEFT OVERRIDE}"] * 4
    return write_store(tmp_path / "strange", tokens, subset=subsets), int((~np.isin(tokens, [0, 199])).sum())


def test_one_neuron_a_vocabulary_beyond_the_tokenizer_and_an_empty_subset(
    analysis, go, strange_text, tmp_path
):
    architecture = {"n_layer": 2 if analysis == "attention" else 1, "n_inner": 1, "vocab_size": 5000}
    changes = {f"models__architecture__{key}": value for key, value in architecture.items()}
    text, counted = strange_text
    done = go(analysis, text, run_dir="mine", **changes)
    assert (done.code, done.err) == (0, "")
    assert all(char.isprintable() or char == "\n" for char in done.out)
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    assert summary["tokens"] == BLOCKS * CONTEXT
    assert summary.get("counted_tokens", counted) == counted
    assert summary.get("neurons/invalid", 0) == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        ".lock",
        "checksums.json",
        "config.yaml",
        "figures",
        "summary.json",
        "tables",
    ]


def test_one_layer(go):
    stopped = go("attention", models__architecture__n_layer=1)
    assert stopped.code == 2
    assert stopped.err == "error: 'a' has one layer, so no head reads what a neuron writes\n"


def test_a_vocabulary_that_ends_before_the_tokenizer(analysis, go):
    stopped = go(analysis, models__architecture__vocab_size=4000)
    assert stopped.code == 2
    assert stopped.err.startswith(
        "error: the tokenizer has token 4095, but the embedding of model 'a' ends at 3999"
    )


@pytest.fixture
def broken(monkeypatch):
    """Do something to the first member when it is loaded."""

    def change(action):
        original = family.load_member

        def load(models, member):
            model = original(models, member)
            if member.name == "a":
                action(model.module)
            return model

        monkeypatch.setattr(family, "load_member", load)

    return change


def test_a_neuron_that_overflows(analysis, go, broken, whole, tmp_path):
    """A neuron of the last layer: no other activation depends on it, but every prediction does."""

    def overflow(module):
        module.transformer.h[-1].mlp.c_fc.weight.data[:, 3] *= 1e38 / 0.02

    broken(overflow)
    done = go(analysis, run_dir="mine")
    if analysis in ("entropy", "ablation"):
        assert done.code == 2
        assert done.err.startswith("error: the predictions of 'a' are not finite")
        return
    assert (done.code, done.err) == (0, "")
    found, wanted = neurons(tmp_path / "mine"), neurons(whole(analysis))
    if found is None or "valid" not in found:
        return
    assert found.index[~found["valid"]].tolist() == [(1, 3)]
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    assert summary["neurons/invalid"] == 1
    numbers = found.select_dtypes("number").columns
    assert not np.isinf(found[numbers]).any(axis=None)
    names = ("mean", "var", "skew", "kurt", "max_corr", "mean_corr", "vr", "auroc", "f1", "position_mi")
    own = [name for name in names if name in found]
    assert own
    assert found.loc[(1, 3), own].isna().all()
    others = found.index[found["valid"]]
    np.testing.assert_allclose(
        found.loc[others, own], wanted.loc[others, own], rtol=1e-4, atol=1e-5, equal_nan=True
    )


def test_a_token_that_makes_every_activation_nan(analysis, go, broken, tmp_path):
    def poison(module):
        spoil = lambda _, inputs, output: output.masked_fill((inputs[0] == RARE)[..., None], np.nan)
        module.transformer.wte.register_forward_hook(spoil)

    broken(poison)
    tokens = random_tokens()
    tokens[tokens == RARE] = 1
    tokens[-1, 9] = RARE
    done = go(analysis, write_store(tmp_path / "rare", tokens), run_dir="mine")
    if analysis in REFUSE:
        assert done.code == 2
        assert done.err.startswith("error: ")
        assert REFUSE[analysis] in done.err
        return
    assert (done.code, done.err) == (0, "")
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    if analysis == "prediction":
        before = pd.read_parquet(tmp_path / "mine" / "tables" / "next_token.parquet")
        assert len(before) > 0
        assert before[["difference", "auroc"]].isna().all(axis=None)
    elif analysis != "weights":  # which reads no activations
        assert summary["neurons/invalid"] == summary["neurons/count"]


def test_a_store_that_was_cut_short(analysis, go, tmp_path):
    store = write_store(tmp_path / "cut", random_tokens())
    (shard,) = store.glob("*.arrow")
    os.truncate(shard, shard.stat().st_size // 2)
    stopped = go(analysis, store)
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err.startswith(f"error: {store} is no token store that `datasets` can open")
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]


@pytest.fixture(scope="module")
def broken_weights(tmp_path_factory):
    """A checkpoint whose file of weights a copy has cut short."""
    folder = tmp_path_factory.mktemp("broken") / "model"
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, n_positions=32, vocab_size=4096))
    model.save_pretrained(folder)
    os.truncate(folder / "model.safetensors", 5000)
    return folder


def test_weights_that_were_cut_short(analysis, go, broken_weights, tmp_path):
    members = [{"name": "a", "path": str(broken_weights)}, {"name": "b", "path": str(broken_weights)}]
    stopped = go(analysis, models__source="local", models__members=members)
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err.startswith(f"error: model 'a': the weights in '{broken_weights}' are broken")
    assert [*tmp_path.iterdir()] == []
