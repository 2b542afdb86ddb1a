"""A run from Python is that of the command line, and the process that asked for it goes on as before."""

import logging
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins

import un_lightning as ul
from tests.small_runs import assert_same_results
from tests.test_cli import MISTAKES
from un_lightning import cli, lightning
from un_lightning.running import launch


def test_it_is_the_run_of_the_command_line(small_run, text_path, tmp_path, monkeypatch):
    words = [
        f"{key}={value}"
        for key, value in small_run.config.items()
        if key.startswith("data.") and value is not None
    ]
    words += ["experiment=tiny/universality", "models=random_tiny", "trainer=cpu", "logger=none", "seed=1"]
    monkeypatch.setattr(sys, "argv", ["run.py"])
    cli.launch("run", [*words, "analysis.jackknife=5", "analysis.draws=2"])
    assert_same_results(tmp_path / "runs" / "tiny" / "universality" / "latest", small_run.folder)


def test_what_it_gives(small_run):
    assert small_run.folder.parts[-3:-1] == ("tiny", "universality")
    assert small_run.summary["models"] == ["a", "b", "c"]
    assert small_run.config["data.tokens"] == 1000
    written = pd.read_parquet(small_run.folder / "tables" / "neurons.parquet")
    pd.testing.assert_frame_equal(small_run.tables["neurons"], written)
    assert small_run.figures["layer_match"].png().startswith(b"\x89PNG")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_the_sentence_of_the_command_line(mistake):
    argv, parts = MISTAKES[mistake]
    with pytest.raises(ul.UserError) as caught:
        ul.run(None, *argv)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, r"unknown key 'sed' \(did you mean seed\?\)"),
        ({"data": {"tokns": 1}}, r"unknown key 'data.tokns' \(did you mean tokens\?\)"),
        ({"data.tokens": "many"}, "data.tokens"),
        ({"models": "un_tinny"}, r"there is no models 'un_tinny' \(did you mean un_tiny\?\)"),
        ({"config_dir": "/nowhere"}, "/nowhere"),
        (
            {"trainer": "ddp_cpu"},
            "2 processes.* un-lightning run experiment=tiny/universality trainer=ddp_cpu",
        ),
    ],
)
def test_keywords_are_checked_as_words_are(settings, message, tmp_path):
    with pytest.raises(ul.UserError, match=message):
        ul.run("tiny/universality", **settings)
    assert not any(tmp_path.iterdir())


def test_values_arrive_as_they_are(monkeypatch, tmp_path):
    class SeenError(Exception):
        pass

    def seen(config, plain):
        raise SeenError(config)

    monkeypatch.setattr(launch, "run", seen)
    odd = tmp_path / "it's a, [folder] {of} = mine"
    values = {"notes": "a, 'b' = ${c}".replace("$", ""), "tags": ["x y", "true", "1"]}
    with pytest.raises(SeenError) as caught:
        ul.run(
            "tiny/universality", models={"members": [{"name": "a", "path": odd}]}, root=odd, logger=values,
            data={"tokens": np.int64(77), "path": None}, seed=np.uint8(3), trainer={"save_minutes": 0.5},
        )  # fmt: skip
    (config,) = caught.value.args
    assert (config.root, config.models.members[0].path) == (str(odd), str(odd))
    assert (config.logger.notes, config.logger.tags) == (values["notes"], values["tags"])
    assert (config.data.tokens, config.seed, config.trainer.save_minutes) == (77, 3, 0.5)


def test_who_stops_it_stops_the_cell(monkeypatch):
    def stopped(config, plain):
        raise SystemExit(130)

    monkeypatch.setattr(launch, "run", stopped)
    with pytest.raises(KeyboardInterrupt, match="resume='auto'"):
        ul.run("tiny/universality")


def state():
    """What a run must not change."""
    named = [logging.getLogger(), logging.getLogger("pytorch_lightning.utilities.rank_zero")]
    return {
        "argv": (sys.argv, [*sys.argv]),
        "environment": dict(os.environ),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "loggers": [(one.level, [*one.handlers], one.propagate) for one in named],
        "warnings": [*warnings.filters],
        "threads": torch.get_num_threads(),
        "dtype": (torch.get_default_dtype(), torch.is_grad_enabled()),
        # Python's own numbers are drawn from by beartype, which checks types in the tests alone.
        "random": (str(np.random.get_state()), torch.get_rng_state().tolist()),  # noqa: NPY002
        "hydra": GlobalHydra.instance().hydra,
        "store": sorted(ConfigStore.instance().repo),
        "plugins": sorted(Plugins.instance().class_name_to_class),
        "folder": os.getcwd(),
        "hook": sys.excepthook,
    }


def meddle(config, plain):
    """What runs and their libraries may change, and a failure at the end."""
    sys.argv.append("more")
    os.environ["NEW"] = os.environ["SLURM_PROCID"] = "5"
    del os.environ["HF_HUB_OFFLINE"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.CRITICAL)
    warnings.simplefilter("error")
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    lightning.seed(7)
    sys.excepthook = print
    raise ul.UserError("it fails")


def test_it_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kernel", "-f", "file.json"])
    monkeypatch.setattr(launch, "run", meddle)
    monkeypatch.setenv("SLURM_PROCID", "0")
    with initialize_config_dir(version_base="1.3", config_dir=str(tmp_path)):
        ConfigStore.instance().store(name="theirs", node={"a": 1})
        before = state()
        with pytest.raises(ul.UserError, match="it fails"):
            ul.run("tiny/universality")
        after = state()
        assert before["hydra"] is not None
    for name, value in before.items():
        assert after[name] == value, name


def test_a_run_in_a_thread_leaves_it_so_too(start, small_run):
    found, before = [], state()
    thread = threading.Thread(target=lambda: found.append(start()))
    thread.start()
    thread.join()
    assert_same_results(found[0].folder, small_run.folder)
    after = state()
    for name, value in before.items():
        assert after[name] == value, name


def test_every_name_is_found():
    assert all(callable(getattr(ul, name)) for name in ul.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ul.nothing


@pytest.mark.slow
def test_importing_the_package_imports_nothing_slow():
    code = """
import sys
import un_lightning as ul
assert {"run", "open_run", "Edit", "__version__"} <= {*dir(ul)} and not hasattr(ul, "nothing")
assert not {"torch", "hydra", "numpy", "pandas", "rich"} & sys.modules.keys(), "import"
for name in ("tiny/univers", None):
    try:
        ul.run(name)
    except ul.UserError:
        pass
try:
    ul.open_run("nowhere")
except ul.UserError:
    pass
assert not {"torch", "pandas", "transformers", "matplotlib"} & sys.modules.keys(), "a mistake"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
