"""Every analysis, stopped by a signal, killed or out of disk, goes on to what an undisturbed run finds."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest
import torch

from tests.faults.table import leave_out, leave_out_figures, run
from tests.processes import finish, start
from un_lightning.analyses.base import Analysis
from un_lightning.results import partial
from un_lightning.results.runs import lock
from un_lightning.running import callbacks


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """What is drawn does not matter here."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave_out_figures(monkeypatch)
        yield


def meta(folder):
    """What rank 0 saved last."""
    (path,) = sorted(folder.glob("partial/pass*/rank0.json"))[-1:]
    return json.loads(path.read_text())


def at_batch(monkeypatch, number, action):
    """Do something in the middle of the n-th batch of this process."""
    calls, original = [], Analysis.validation_step

    def step(self, batch, index):
        calls.append(index)
        if len(calls) == number:
            action()
        return original(self, batch, index)

    monkeypatch.setattr(Analysis, "validation_step", step)


def test_signals_save_within_a_batch(analysis, go, whole, assert_same, tmp_path):
    """Ctrl-C in the first batch, SIGTERM in the second, and a state that a bad copy has cut short."""
    for position, number in ((1, signal.SIGINT), (2, signal.SIGTERM)):
        with pytest.MonkeyPatch.context() as patch:
            at_batch(patch, 1, lambda number=number: os.kill(os.getpid(), number))
            stopped = go(analysis, run_dir="mine", resume="auto")
        assert stopped.code == 128 + number
        assert f"{number.name}: saving after this batch\n" in stopped.out
        assert "stopped; go on with: resume=auto (or resume=mine)" in stopped.out
        assert stopped.err == ""
        assert meta(tmp_path / "mine")["position"] == position
    (tensors,) = (tmp_path / "mine").glob("partial/pass*/rank0-*.safetensors")
    saved = tensors.read_bytes()
    tensors.write_bytes(saved[:-1])
    stopped = go(analysis, resume="mine")
    assert stopped.code == 2
    assert stopped.err.startswith(f"error: cannot read {tensors.relative_to(tmp_path)}: ")
    assert stopped.err.endswith("start anew with resume=never\n")
    tensors.write_bytes(saved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "digest", lambda _weights: "others")
        stopped = go(analysis, resume="mine")
    assert (stopped.code, stopped.out) == (2, "going on with mine\n")
    assert "mine was begun with other weights: the files of a model have changed" in stopped.err
    assert go(analysis, resume="mine").code == 0
    assert_same(tmp_path / "mine", whole(analysis))


def killed(analysis, store, folder):
    """What a process does that is killed when its tensors are saved and their position is not."""
    torch.set_num_threads(1)
    writes, original = [], partial.atomic_write

    def write(path, data):
        writes.append(path)
        if len(writes) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        original(path, data)

    leave_out(pytest.MonkeyPatch())  # for good: this process is killed
    partial.atomic_write = write
    run(analysis, store, run_dir=folder, trainer__save_minutes=0.0)


def full_disk(monkeypatch, part):
    """Every write below a folder of this name fails."""
    fsync = os.fsync

    def fail(descriptor):
        if f"/{part}" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.slow
def test_killed_while_saving_and_then_out_of_disk(analysis, store, go, whole, assert_same, tmp_path):
    process = start(killed, analysis, store, str(tmp_path / "mine"), output=tmp_path / "output.txt")
    assert finish(process) == [-signal.SIGKILL], (tmp_path / "output.txt").read_text()
    assert meta(tmp_path / "mine")["position"] == 1
    for part in ("partial", "tables"):
        with pytest.MonkeyPatch.context() as patch:
            full_disk(patch, part)
            stopped = go(analysis, run_dir="mine", resume="auto", trainer__save_minutes=0.0)
        assert stopped.code == 2
        assert stopped.err.startswith("error: cannot write mine/")
        assert "No space left on device\nFree some space, then go on with resume=mine\n" in stopped.err
        assert not (tmp_path / "mine" / "summary.json").exists()
        assert len([*(tmp_path / "mine").rglob("*.tmp")]) <= 1  # what the killed process was writing
        assert meta(tmp_path / "mine")["position"] >= 1
    assert go(analysis, run_dir="mine", resume="auto").code == 0
    assert_same(tmp_path / "mine", whole(analysis))


def test_a_folder_that_cannot_be_written(analysis, go, monkeypatch, tmp_path):
    mkdir = os.mkdir

    def read_only(path, *rest, **named):
        if str(path).startswith("runs"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        mkdir(path, *rest, **named)

    monkeypatch.setattr(os, "mkdir", read_only)
    stopped = go(analysis)
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err == "error: cannot make the folder runs/hard: Read-only file system\n"
    assert [*tmp_path.iterdir()] == []


def test_two_runs_in_one_folder(analysis, go, tmp_path):
    (tmp_path / "mine").mkdir()
    with lock(Path("mine")):
        stopped = go(analysis, run_dir="mine")
    assert (stopped.code, stopped.out) == (2, "")
    assert stopped.err.startswith("error: another run is writing to mine: wait until it ends")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [".lock"]
