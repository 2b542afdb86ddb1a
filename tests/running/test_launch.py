"""Whole runs of a small experiment: what they write, what they say, and what stops them beforehand."""

import errno
import json
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from datasets import Dataset
from transformers import GPT2Config, GPT2LMHeadModel

from tests.announcements import without_announcements


REPOSITORY = Path(__file__).parents[2]
SMALL = [
    "experiment=tiny/universality", "models=random_tiny", "data.part=all", "data.context=32",
    "data.tokens=1000", "data.batch_size=3", "trainer=cpu", "trainer.threads=1",
]  # fmt: skip


@pytest.fixture
def script(small_text, capfd, monkeypatch):
    """Carry out a script in this process, in the test's own folder; returns its code and what it said."""

    def call(verb, *overrides):
        path = REPOSITORY / "experiments" / f"{verb}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *SMALL, *small_text, *overrides])
        capfd.readouterr()
        code = 0
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        printed = capfd.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=without_announcements(printed.err))

    return call


@pytest.fixture
def run(script):
    return lambda *overrides: script("run", "logger=none", *overrides)


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_what_a_run_writes_and_says(run, tmp_path):
    done = run()
    parent = tmp_path / "runs" / "tiny" / "universality"
    (folder,) = parent.glob("2*")
    assert (done.code, done.err) == (0, "")
    assert done.out.rstrip().endswith(f"results in {folder.relative_to(tmp_path)}")
    assert "Universal units of 'a'" in done.out
    assert os.readlink(parent / "latest") == folder.name
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "checksums.json",
        "config.yaml",
        "figures",
        "summary.json",
        "tables",
    ]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["name"], config["data"]["tokens"], config["models"]["source"]) == (
        "tiny/universality",
        1000,
        "random",
    )
    names = ("universal/count", "universal/percent", "excess/mean", "max_corr/mean", "baseline/mean")
    names += ("baseline/stderr", "neurons/invalid", "tokens", "seconds", "tokens_per_second", "analysis")
    summary = read_summary(folder)
    assert {*names, "models", "subsets", "exclude", "excluded_ids", "world_size"} <= summary.keys()
    assert summary["tokens"] == 1024  # whole blocks of 32
    assert (summary["models"], summary["subsets"], summary["analysis"]) == (
        ["a", "b", "c"],
        ["a", "b"],
        "correlation",
    )
    neurons = pd.read_parquet(folder / "tables" / "neurons.parquet")
    columns = ["model", "layer", "neuron", "max_corr", "mean_corr", "min_corr", "max_baseline"]
    assert {*columns, "mean_baseline", "min_baseline", "excess_corr"} <= {*neurons.columns}
    matches = pd.read_parquet(folder / "tables" / "matches.parquet")
    assert {"layer", "neuron", "other", "rank", "match_layer", "match_neuron", "corr"} <= {*matches.columns}
    assert len([*(folder / "figures").glob("*.png")]) >= 4


def test_two_runs_have_two_folders_and_one_result(run, tmp_path):
    for _ in range(2):
        assert run().code == 0
    first, second = sorted((tmp_path / "runs" / "tiny" / "universality").glob("2*"))
    for path in sorted((first / "tables").iterdir()):
        pd.testing.assert_frame_equal(
            pd.read_parquet(path), pd.read_parquet(second / "tables" / path.name), rtol=0, atol=0
        )


def test_prepare_makes_the_store_that_a_run_uses(script, run, tmp_path):
    done = script("prepare", f"data.store={tmp_path}/stores")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    (store,) = (tmp_path / "stores").iterdir()
    assert lines[0].endswith(str(store))
    assert [line.split(":")[0] for line in lines[1:]] == ["  a", "  b"]
    before = sorted((path.name, path.stat().st_mtime_ns) for path in store.iterdir())
    assert run(f"data.store={tmp_path}/stores").code == 0
    assert sorted((path.name, path.stat().st_mtime_ns) for path in store.iterdir()) == before
    assert [*(tmp_path / "stores").iterdir()] == [store]


@pytest.fixture
def broken_model(tmp_path):
    """Overrides that load a checkpoint whose weights are not finite."""
    config = GPT2Config(n_layer=1, n_embd=8, n_head=1, n_positions=32, vocab_size=4096)
    model = GPT2LMHeadModel(config)
    model.transformer.h[0].mlp.c_fc.weight.data[3, 4] = torch.nan
    model.save_pretrained(tmp_path / "broken")
    return ["models.source=local", f"models.members=[{{name: a, path: {tmp_path}/broken}}]"]


@pytest.fixture
def damaged_store(tmp_path):
    """Overrides that read a table whose bytes are not those that were hashed."""
    path = tmp_path / "store"
    Dataset.from_dict({"tokens": [[1] * 32] * 40}).save_to_disk(str(path))
    (shard,) = path.glob("*.arrow")
    manifest = {"shards": [{"file": shard.name, "hash": "0" * 32}], "tokenizer": None}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return ["data=store", f"data.path={path}"]


STOPS = {
    "context": (["data.context=256"], "data.context=256 is longer than the models' context of 128"),
    "tokens": (["data.tokens=9000000"], "data.tokens=9,000,000 is more than the text can hold"),
    "missing file": (["data.path=nowhere.jsonl"], "data.path=nowhere.jsonl: no such file"),
    "missing store": (["data=store", "data.path=nowhere"], "there is no store at nowhere: check data.path"),
    "missing model": (
        ["models.source=local", "models.members=[{name: a, path: ./nowhere}]"],
        "model 'a': there is no folder 'nowhere'",
    ),
    "site": (["analysis.site=units"], "models.units"),
    "one model": (["models.members=[{name: a, seed: 1}]"], "correlations need two models"),
    "no models": (["~models"], "no models were chosen: add models=<family>"),
    "no analysis": (["~analysis"], "has no analysis"),
    "loader": (
        ["models.source=loader", "models.loader=no.such", "models.units=h.*"],
        "models.loader='no.such'",
    ),
    "architecture": (["models.architecture.model_type=gpt9"], "gpt9"),
    "text column": (["data.text_column=body"], "check data.path, data.text_column"),
    "resume": (["resume=nowhere"], "resume=nowhere: no run lies there"),
}


def nothing_was_made(folder):
    return not (folder / "runs").exists() or not [*(folder / "runs").rglob("2*")]


@pytest.mark.parametrize("stop", STOPS)
def test_mistakes_leave_nothing_behind(run, tmp_path, stop):
    overrides, message = STOPS[stop]
    done = run(*overrides)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert message in done.err
    assert "Traceback" not in done.err
    assert nothing_was_made(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_machine_without_a_gpu(run, tmp_path):
    done = run("trainer=gpu")
    assert done.code == 2
    assert "trainer.accelerator=gpu with 1 device(s) does not start: " in done.err
    assert nothing_was_made(tmp_path)


def test_weights_that_are_not_finite(run, broken_model, tmp_path):
    done = run(*broken_model)
    assert done.code == 2
    assert "model 'a': weight 'transformer.h.0.mlp.c_fc.weight' holds NaN or infinite values" in done.err
    assert nothing_was_made(tmp_path)


def test_a_store_that_was_changed(run, damaged_store, tmp_path):
    done = run(*damaged_store)
    assert done.code == 2
    assert f"is not the file that was written (its hash differs): delete {tmp_path}/store" in done.err
    assert nothing_was_made(tmp_path)


def test_a_disk_that_runs_full_while_the_results_are_written(run, tmp_path, monkeypatch):
    fsync = os.fsync

    def full(descriptor):
        if "tables" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    done = run("trainer.save_minutes=0")
    (folder,) = (tmp_path / "runs" / "tiny" / "universality").glob("2*")
    relative = folder.relative_to(tmp_path)
    assert done.code == 2
    assert f"No space left on device\nFree some space, then go on with resume={relative}\n" in done.err
    assert not (folder / "summary.json").exists()
    assert [*(folder / "tables").iterdir()] == []
    monkeypatch.setattr(os, "fsync", fsync)
    assert run(f"resume={relative}").code == 0
    assert read_summary(folder)["tokens"] == 1024


def test_only_excluded_tokens(run, tmp_path):
    Dataset.from_dict({"tokens": [[0] * 32] * 40}).save_to_disk(str(tmp_path / "ends"))
    done = run("data=store", f"data.path={tmp_path}/ends")
    assert done.code == 2
    assert "no token was counted" in done.err
    assert "data.exclude" in done.err


def test_a_store_made_elsewhere(run, tmp_path):
    tokens = np.random.default_rng(0).integers(1, 4096, (40, 32))
    Dataset.from_dict({"tokens": tokens.tolist()}).shuffle(seed=0).save_to_disk(str(tmp_path / "foreign"))
    assert run("data=store", f"data.path={tmp_path}/foreign", "run_dir=mine").code == 0
    assert read_summary(tmp_path / "mine")["subsets"] == ["all"]
    # A folder that the user named lies beside what is none of ours.
    assert {path.name for path in tmp_path.iterdir()} == {"foreign", "mine"}
