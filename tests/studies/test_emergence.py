"""Universal neurons over checkpoints: counts, persistence and first appearance, and the study as a whole."""

import itertools
import json
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from un_lightning import cli
from un_lightning.config import EmergenceConfig, MemberConfig, ModelsConfig
from un_lightning.errors import UserError
from un_lightning.models.architecture import build_random
from un_lightning.studies.emergence.study import models_at
from un_lightning.studies.emergence.tables import checkpoint_table, layer_table, neuron_history, training_step


TINY = {"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 32, "vocab_size": 4096}
MARKS = arrays(bool, st.tuples(st.integers(1, 6), st.integers(2, 5)))


def long_table(marks, models=("a",)):
    """The table of neurons (two a layer) that are universal where `marks` [neurons, checkpoints] says so."""
    rows = [
        {
            "model": model, "layer": neuron // 2, "neuron": neuron % 2, "index": index,
            "checkpoint": f"step-{10**index}", "step": 10**index, "valid": neuron != 1,
            "excess_corr": 0.5 + 0.1 * mark, "universal": bool(mark),
        }
        for model in models
        for (neuron, index), mark in np.ndenumerate(marks)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@settings(max_examples=12)
@given(MARKS)
def test_counts_against_sets(marks):
    table = checkpoint_table(long_table(marks)).set_index("step").sort_index()
    sets = [{int(neuron) for neuron in np.flatnonzero(column)} for column in marks.T]
    for index, own in enumerate(sets):
        row = table.iloc[index]
        following = sets[index + 1] if index + 1 < len(sets) else None
        earlier = set().union(*sets[:index])
        assert row["universal"] == len(own)
        assert row["percent_low"] <= row["percent"] + 1e-9
        assert row["percent"] <= row["percent_high"] + 1e-9
        assert row["new"] == len(own - (sets[index - 1] if index else set()))
        assert row["first"] == len(own - earlier)
        assert row["ever"] == len(own | earlier)
        if following is None:
            assert np.isnan(row["kept"])
            assert np.isnan(row["persistence"])
        else:
            assert row["kept"] == len(own & following)
            assert row["by_chance"] == pytest.approx(len(following) / len(marks))
        if own and following is not None:
            assert row["persistence"] == pytest.approx(len(own & following) / len(own))
        if own:
            assert row["kept_to_last"] == pytest.approx(len(own & sets[-1]) / len(own))
    assert table["first"].sum() == table["ever"].iloc[-1]


@settings(max_examples=12)
@given(MARKS)
def test_histories_against_loops(marks):
    table = neuron_history(long_table(marks, models=("a", "b")))
    assert len(table) == 2 * len(marks)
    for row in table.itertuples():
        own = [int(index) for index in np.flatnonzero(marks[2 * row.layer + row.neuron])]
        assert row.checkpoints == len(own)
        assert row.at_last == (marks.shape[1] - 1 in own)
        lost = sum(a and not b for a, b in itertools.pairwise(marks[2 * row.layer + row.neuron]))
        assert row.lost == lost
        if own:
            assert (row.first_checkpoint, row.first_step) == (f"step-{10 ** own[0]}", 10 ** own[0])
            assert row.last_checkpoint == f"step-{10 ** own[-1]}"
        else:
            assert pd.isna(row.first_checkpoint)
            assert np.isnan(row.first_step)


def test_layers_add_up_to_checkpoints():
    marks = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=bool)
    layers = layer_table(long_table(marks))
    assert layers.groupby("step")["universal"].sum().tolist() == [1, 2, 2]
    assert layers.set_index(["step", "layer"]).loc[(10, 0), "percent"] == 100


def test_the_step_is_in_the_name():
    assert training_step("step-000512", 3) == 512
    assert training_step("checkpoint-4000", 3) == 4000
    assert training_step("final", 3) == 3


def family(**places):
    return ModelsConfig(family="f", members=[MemberConfig(name="a", **places)], reference="a")


def test_checkpoints_take_their_place():
    models = models_at(family(path="x/step-{checkpoint:06}", revision="step{checkpoint}"), "31")
    assert (models.members[0].path, models.members[0].revision) == ("x/step-000031", "step31")
    assert models_at(family(path="x/{checkpoint}"), "final").members[0].path == "x/final"
    with pytest.raises(UserError, match=r"write \{checkpoint\} into the path or the revision"):
        models_at(family(path="x"), "31")


@pytest.mark.parametrize(
    ("checkpoints", "message"),
    [([], "two checkpoints"), ([1, "1"], "one twice"), (["../x", "y"], "letters"), ([1.5, 2], "letters")],
)
def test_what_is_no_list_of_checkpoints(checkpoints, message):
    with pytest.raises(ValueError, match=message):
        EmergenceConfig(checkpoints=checkpoints)


@pytest.fixture
def training(tmp_path):
    """Three checkpoints of two members: random, then one half of the neurons shared, then all."""
    shared = build_random("s", TINY, seed=9)
    for name, seed in (("a", 0), ("b", 1)):
        for step, layers in ((1, 0), (10, 1), (100, 2)):
            model = build_random(name, TINY, seed)
            model.transformer.wte, model.transformer.wpe = shared.transformer.wte, shared.transformer.wpe
            for layer in range(layers):
                model.transformer.h[layer] = shared.transformer.h[layer]
            model.tie_weights()
            model.save_pretrained(tmp_path / f"{name}/{step:03}")


def test_planted_checkpoints(training, small_text, tmp_path, capfd):
    """Layers that are the same in both members are universal from the checkpoint on at which they are."""
    argv = [
        "experiment=tiny/emergence", "models.source=local", "models.reference=a", "trainer=cpu",
        "models.members=[{name: a, path: 'a/{checkpoint:03}'}, {name: b, path: 'b/{checkpoint:03}'}]",
        *small_text, "data.part=all", "data.context=32", "data.tokens=2000", "data.batch_size=8",
        "analysis.checkpoints=[1,10,100]",
        "analysis.correlation.baseline=noise", "analysis.correlation.threshold=0.9", "trainer.threads=1",
        "logger=none",
    ]  # fmt: skip
    cli.launch("run", argv)
    folder = tmp_path / "runs" / "tiny" / "emergence" / "latest"
    table = pd.read_parquet(folder / "tables" / "checkpoints.parquet")
    own = table[table["model"] == "a"]
    assert own["step"].tolist() == [1, 10, 100]
    assert own["universal"].tolist()[1:] == [64, 128]  # two layers of 64 neurons
    assert own["universal"].iloc[0] < 20
    assert own["persistence"].iloc[1] == 1
    layers = pd.read_parquet(folder / "tables" / "layers.parquet").query("model == 'a' and step == 10")
    assert layers.set_index("layer")["universal"].to_dict() == {0: 64, 1: 0}
    history = pd.read_parquet(folder / "tables" / "neurons.parquet").query("model == 'a' and layer == 1")
    assert (history["at_last"]).all()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["universal/last_percent"] == 100
    assert summary["analysis"] == "emergence"
    assert (folder / "figures" / "emergence.png").stat().st_size > 10_000
    capfd.readouterr()
    os.utime(tmp_path / "b" / "010" / "model.safetensors")  # written anew: that checkpoint alone runs again
    cli.launch("run", argv)
    printed = capfd.readouterr().out
    assert printed.count("to be run") == 1
    assert "checkpoint 10: to be run" in printed


def test_a_family_without_checkpoints(capfd):
    with pytest.raises(SystemExit):
        cli.launch(
            "run",
            [
                "experiment=tiny/emergence",
                "models=un_tiny",
                "logger=none",
                "models.members=[{name: a, path: bundled:un_tiny/a}]",
            ],
        )
    assert "no member changes with the checkpoint" in capfd.readouterr().err
