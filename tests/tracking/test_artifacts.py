"""What a run hands to W&B besides numbers, and which runs it says that it has read."""

import json
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import wandb

from tests.tracking.test_logger import inspect, isolate, offline_runs, start
from un_lightning.results.results import Results
from un_lightning.tracking import logger as tracking
from un_lightning.tracking.artifacts import sources, use
from un_lightning.tracking.record import BINS, histograms


def other_run(folder, run_id):
    """A run folder that another run may read."""
    (folder / "tables").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "tables" / "neurons.parquet").touch()
    (folder / "wandb_id.txt").write_text(run_id + "\n")
    return folder


def test_paths_of_runs_are_found_wherever_they_stand(tmp_path):
    first, second, third = (other_run(tmp_path / name, f"id{name}") for name in "abc")
    (tmp_path / "latest").symlink_to(second)
    config = {
        "analysis": {
            "tables": {"x": str(first), "y": [str(tmp_path / "latest" / "tables" / "neurons.parquet")]}
        },
        "models": {"members": [{"path": str(third / "model")}, {"path": "bundled:un_tiny/a"}]},
        "notes": "a\nb",
        "seed": 3,
        "data": {"path": None, "store": str(tmp_path), "name": "x" * 5000},
    }
    found = sources([config, {"parts/weights": str(first)}], tmp_path / "own")
    assert [(source.folder.name, source.artifact) for source in found] == [
        ("a", "results-ida"),
        ("b", "results-idb"),
        ("c", "model-idc"),
    ]
    assert sources(config, first)[0].folder == second


def test_relative_paths_and_the_run_itself(tmp_path):
    other_run(tmp_path / "runs" / "a", "ida")
    assert [source.run_id for source in sources({"tables": "runs/a"}, tmp_path / "own")] == ["ida"]
    assert sources({"tables": "runs/a", "run_dir": "runs/a"}, tmp_path / "runs" / "a") == []


def fake_run(offline):
    run = MagicMock(spec=wandb.Run)
    run.offline = offline
    run.summary = {}
    run.project_url = "https://wandb.example.org/me/mine"
    return run


def test_online_the_other_runs_artifact_is_used_and_its_page_linked(tmp_path, capsys):
    found = sources(
        {"tables": [str(other_run(tmp_path / name, f"id{name}")) for name in "ab"]}, tmp_path / "own"
    )
    run = fake_run(offline=False)
    run.use_artifact.side_effect = [None, wandb.errors.CommError("not found")]
    use(run, found)
    assert [call.args for call in run.use_artifact.call_args_list] == [
        ("results-ida:latest",),
        ("results-idb:latest",),
    ]
    assert run.summary["uses"] == [f"https://wandb.example.org/me/mine/runs/id{name}" for name in "ab"]
    assert "is not on the server" in capsys.readouterr().err


def test_offline_the_folder_is_noted(tmp_path):
    folder = other_run(tmp_path / "a", "ida")
    run = fake_run(offline=True)
    use(run, sources(str(folder), tmp_path / "own"))
    assert run.summary == {"uses": [str(folder)]}
    run.use_artifact.assert_not_called()
    use(run, [])
    assert run.summary == {"uses": [str(folder)]}


def test_histograms_are_of_the_reference_and_of_numbers_that_exist():
    values = np.linspace(0.0, 1.0, 101)
    table = pd.DataFrame(
        {"model": "a", "layer": 0, "neuron": range(101), "excess_corr": values, "universal": True}
    )
    table["constant"] = 1.0
    table["empty"] = np.nan
    table.loc[100, "excess_corr"] = np.nan
    both = pd.concat([table, table.assign(model="b", excess_corr=5 * values)])
    found = histograms(Results({"reference": "a"}, {"neurons": both, "matches": both}))
    assert [*found] == ["histograms/excess_corr"]
    one = found["histograms/excess_corr"]
    assert (len(one.histogram), sum(one.histogram)) == (BINS, 100)
    assert one.bins[-1] == pytest.approx(0.99)
    every = histograms(Results({}, {"neurons": both}))
    assert sum(every["histograms/excess_corr"].histogram) == 201
    assert histograms(Results()) == {}


@pytest.mark.slow
def test_an_offline_run_holds_its_model_its_histograms_and_what_it_read(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    read = other_run(tmp_path / "earlier", "before")
    run_dir = tmp_path / "run"
    logger = start(run_dir)
    neurons = pd.DataFrame({"layer": 0, "neuron": range(9), "excess_corr": np.linspace(0, 1, 9)})
    results = Results({"parts/correlation": str(read)}, {"neurons": neurons})
    results.write(run_dir)
    (run_dir / "model").mkdir()
    (run_dir / "model" / "config.json").write_text("{}")
    tracking.log_results(logger, results, 10)
    tracking.finish(logger, 0)
    (record,) = offline_runs(run_dir)
    entries = [json.loads(line) for line in inspect(record).splitlines()]
    artifacts = {
        entry["artifact"]["type"]: entry["artifact"] for entry in entries if entry["type"] == "artifact"
    }
    assert artifacts["model"]["name"] == f"model-{(run_dir / 'wandb_id.txt').read_text()}"
    assert [file["path"] for file in artifacts["model"]["manifest"]["contents"]] == ["config.json"]
    summary = json.loads(inspect(record, "--summary"))["summary"]
    assert summary["uses"] == [str(read)]
    assert summary["histograms/excess_corr"]["_type"] == "histogram"
