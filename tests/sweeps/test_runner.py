"""Sweeps from start to end, with a script for a run: resuming, failures, workers, signals."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from PIL import Image

from un_lightning.results import runs
from un_lightning.sweeps.main import main


X = {"x": {"values": [1, 2, 3]}}


@pytest.fixture
def sweep(workshop, capsys):
    """Run `main` on a sweep of the script; returns the exit code and what was printed."""

    def run(*options, **content):
        code = main([str(workshop.file(**content)), *map(str, options)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def folder_of(workshop):
    (folder,) = (workshop.folder / "runs" / "sweeps").iterdir()
    return folder


def states(workshop):
    entries = json.loads((folder_of(workshop) / "points.json").read_text())
    return {entry["point"]["number"]: entry["status"] for entry in entries}


def test_every_point_is_run_once_and_ends_in_the_table(workshop, sweep):
    code, printed = sweep(parameters={**X, "y": {"values": [0.1, 0.5]}})
    assert code == 0
    assert workshop.ran() == [{"x": x, "y": y} for x in (1, 2, 3) for y in (0.1, 0.5)]
    folder = folder_of(workshop)
    table = pd.read_parquet(folder / "tables" / "points.parquet")
    assert list(table["point"]) == [1, 2, 3, 4, 5, 6]
    assert list(table["y"]) == [0.1, 0.5] * 3
    assert list(table["loss"]) == pytest.approx([0.04] * 6)
    assert set(table["other/number"]) == {1.0}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["points/finished"] == 6
    assert summary["best/metric"] == pytest.approx(0.04)
    assert Image.open(folder / "figures" / "metric.png").size > (300, 200)
    for text in ("[6/6] x=3 y=0.5", "Points finished", "6 of 6", str(folder.relative_to(workshop.folder))):
        assert text in printed


def test_what_a_point_is_told(workshop, sweep, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "of another run")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.delenv("OMP_NUM_THREADS")
    sweep("--workers", 2, parameters={"x": {"values": [1, 2]}, "z": {"value": None}})
    folder = folder_of(workshop)
    seen = [json.loads((folder / name / "seen.json").read_text()) for name in ("0001", "0002")]
    assert [entry["argv"] for entry in seen] == [["--x=1", "--z=None"], ["--x=2", "--z=None"]]
    for entry in seen:
        assert entry["environment"]["WANDB_RUN_GROUP"] == folder.name
        assert "WANDB_RUN_ID" not in entry["environment"]
        assert int(entry["environment"]["OMP_NUM_THREADS"]) >= 1
    devices = [entry["environment"]["CUDA_VISIBLE_DEVICES"] for entry in seen]
    assert devices == ["4,6", "5,7"]
    assert sorted(point["x"] for point in workshop.ran()) == [1, 2]


def test_a_run_without_a_summary_is_not_finished_whatever_it_returns(workshop, sweep):
    (workshop.folder / "quit").touch()
    code, printed = sweep("--count", 1, parameters=X)
    assert (code, states(workshop)) == (1, {1: "failed"})
    assert "it ended without a summary" in printed
    (workshop.folder / "quit").unlink()
    assert sweep(parameters=X)[0] == 0
    assert set(states(workshop).values()) == {"finished"}


def test_finished_points_are_not_run_again(workshop, sweep):
    sweep("--count", 2, parameters=X)
    assert states(workshop) == {1: "finished", 2: "finished"}
    code, printed = sweep(parameters=X)
    assert (code, [point["x"] for point in workshop.ran()]) == (0, [1, 2, 3])
    assert "going on with" in printed
    code, printed = sweep(parameters=X)
    assert (code, len(workshop.ran())) == (0, 3)
    assert "3 of 3" in printed


def test_a_point_that_fails_is_recorded_and_the_rest_goes_on(workshop, sweep):
    workshop.fail_at(2)
    code, printed = sweep(parameters=X)
    assert code == 1
    assert states(workshop) == {1: "finished", 2: "failed", 3: "finished"}
    assert "[2/3] failed after" in printed
    assert "error: x is not to my taste" in printed
    table = pd.read_parquet(folder_of(workshop) / "tables" / "points.parquet").set_index("point")
    assert (table.loc[2, "exit_code"], table.loc[2, "error"]) == (3, "error: x is not to my taste")
    workshop.fail_at()
    code, _ = sweep(parameters=X)
    assert (code, [point["x"] for point in workshop.ran()]) == (0, [1, 2, 3, 2])
    assert set(states(workshop).values()) == {"finished"}


def test_a_program_that_does_not_start_is_a_failure(workshop, sweep):
    code, printed = sweep(parameters=X, command=["/no/such/program", "${args}"])
    assert code == 1
    assert "No such file" in printed
    assert set(states(workshop).values()) == {"failed"}


@pytest.mark.parametrize("workers", [1, 3])
def test_so_many_run_at_a_time(workshop, sweep, workers):
    sweep("--workers", workers, parameters={"x": {"values": [*range(6)]}, "sleep": {"value": 0.3}})
    running, most = 0, 0
    for what, *_ in sorted(workshop.log(), key=lambda entry: entry[2]):
        running += 1 if what == "began" else -1
        most = max(most, running)
    assert most == workers
    assert sorted(point["x"] for point in workshop.ran("ended")) == [*range(6)]


def test_a_cap_can_be_raised(workshop, sweep):
    space = {"x": {"min": 0.0, "max": 1.0}}
    sweep(method="random", parameters=space, run_cap=2)
    sweep(method="random", parameters=space, run_cap=5)
    drawn = [point["x"] for point in workshop.ran()]
    assert len(drawn) == len(set(drawn)) == 5
    assert len(states(workshop)) == 5


def test_an_endless_search_needs_an_end(workshop, sweep):
    space = {"x": {"min": 0.0, "max": 1.0}}
    code, printed = sweep(method="random", parameters=space)
    assert (code, workshop.ran()) == (2, [])
    assert "set run_cap in the file, or say --count" in printed
    assert sweep("--count", 2, method="random", parameters=space)[0] == 0
    assert len(workshop.ran()) == 2


def test_the_target_ends_it(workshop, sweep):
    metric = {"name": "loss", "goal": "minimize", "target": 0.05}
    sweep(parameters={"y": {"values": [0.9, 0.3, 0.5]}}, metric=metric)
    assert [point["y"] for point in workshop.ran()] == [0.9, 0.3]


def test_bayes_from_start_to_end(workshop, sweep):
    space = {"x": {"min": 0.0, "max": 1.0}}
    sweep("--count", 6, method="bayes", parameters=space, run_cap=9)
    code, printed = sweep(method="bayes", parameters=space, run_cap=9)
    assert (code, len(workshop.ran())) == (0, 9)
    assert "Best loss (minimize)" in printed


def test_a_metric_that_no_run_has(workshop, sweep):
    code, printed = sweep(parameters=X, metric={"name": "lost"})
    assert code == 0
    assert "its summary has no number lost" in printed
    code, printed = sweep(parameters={"x": {"values": [4]}}, metric=None)
    assert "no number" not in printed


def test_early_stopping_is_said_to_have_no_effect(workshop, sweep):
    _, printed = sweep("--dry-run", parameters=X, early_terminate={"type": "hyperband", "min_iter": 1})
    assert "early_terminate has no effect here" in printed


def test_a_dry_run_writes_nothing(workshop, sweep):
    code, printed = sweep("--dry-run", parameters=X)
    assert code == 0
    assert "2: x=2" in printed
    assert not (workshop.folder / "runs").exists()


def test_two_sessions_at_a_time_are_refused(workshop, sweep):
    sweep("--count", 1, parameters=X)
    with runs.lock(folder_of(workshop)):
        code, printed = sweep(parameters=X)
    assert code == 2
    assert "another run is writing to" in printed


def test_a_damaged_record_is_no_empty_one(workshop, sweep):
    sweep("--count", 1, parameters=X)
    (folder_of(workshop) / "points.json").write_text("[{")
    code, printed = sweep(parameters=X)
    assert code == 2
    assert "points.json cannot be read" in printed


@pytest.mark.parametrize("left", ["partial/rank0.json", "weights/summary.json", "notes.txt"])
def test_a_failed_point_goes_on_from_what_it_saved(workshop, sweep, left):
    """A saved state and a finished part of a study are kept; all else of an earlier try is removed."""
    workshop.fail_at(2)
    sweep(parameters=X)
    file = folder_of(workshop) / "0002" / left
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    workshop.fail_at()
    assert sweep(parameters=X)[0] == 0
    seen = json.loads((folder_of(workshop) / "0002" / "seen.json").read_text())
    kept = left != "notes.txt"
    assert file.exists() == kept
    assert seen["environment"].get("UN_LIGHTNING_RESUME") == ("auto" if kept else None)


def session(workshop, *options, **content):
    """A sweep in a process of its own, which can be killed."""
    code = "import sys; from un_lightning.sweeps.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(workshop.file(**content)), *options]
    return subprocess.Popen(command, cwd=workshop.folder, start_new_session=True)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_points_and_the_sweep(workshop, sweep, number):
    (workshop.folder / "wait").touch()
    process = session(workshop, "--workers", "2", parameters=X)
    wait_for(lambda: len(workshop.ran()) == 2)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert len(workshop.ran("stopped")) == 2
    assert states(workshop) == {1: "interrupted", 2: "interrupted"}
    assert not any(alive(entry[3]) for entry in workshop.log())
    (workshop.folder / "go").touch()
    assert sweep(parameters=X)[0] == 0
    assert sorted(point["x"] for point in workshop.ran("ended")) == [1, 2, 3]


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_and_takes_what_ended_meanwhile(workshop, sweep):
    (workshop.folder / "wait").touch()
    process = session(workshop, parameters=X)
    wait_for(lambda: len(workshop.ran()) == 1)
    process.kill()
    process.wait()
    assert states(workshop) == {1: "running"}
    (workshop.folder / "go").touch()  # the run itself lives on, and ends
    wait_for(lambda: len(workshop.ran("ended")) == 1)
    assert sweep(parameters=X)[0] == 0
    assert [point["x"] for point in workshop.ran()] == [1, 2, 3]
    table = pd.read_parquet(folder_of(workshop) / "tables" / "points.parquet")
    assert list(table["loss"]) == [0.0, 0.0, 0.0]


@pytest.mark.slow
def test_a_run_that_died_with_its_sweep_is_run_again(workshop, sweep):
    (workshop.folder / "wait").touch()
    process = session(workshop, parameters=X)
    wait_for(lambda: len(workshop.ran()) == 1)
    process.kill()
    process.wait()
    (pid,) = (entry[3] for entry in workshop.log())
    os.kill(pid, signal.SIGKILL)
    (workshop.folder / "go").touch()
    assert sweep(parameters=X)[0] == 0
    assert [point["x"] for point in workshop.ran()] == [1, 1, 2, 3]
