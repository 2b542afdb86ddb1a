"""Runs in a row leave nothing behind in the process: the short form of `benchmarks/soak.py`."""

import gc
import os
import signal
import tempfile
import threading
import warnings
from pathlib import Path

import psutil
import pytest
import torch
from torch.nn.modules import module

from tests.faults.table import leave_out_figures
from un_lightning.models.frozen import FrozenModel
from un_lightning.results.results import Results


RUNS = ["exact", "ablation"] * 5


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """What is drawn does not matter here."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave_out_figures(monkeypatch)
        yield


def held():
    """What a process can gather: files, threads, handlers, hooks, models, settings."""
    gc.collect()
    process = psutil.Process()
    alive = [type(thing) for thing in gc.get_objects() if type(thing) in (FrozenModel, Results)]
    return {
        "files": process.num_fds(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "children": [child.name() for child in process.children()],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "hooks": len(module._global_forward_hooks) + len(module._global_forward_pre_hooks),
        "objects": alive,
        "filters": len(warnings.filters),
        "environment": sorted(os.environ),
        "settings": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()),
        "temporary": sorted(Path(tempfile.gettempdir()).glob("un-lightning*")),
    }


def test_ten_runs_leave_nothing_behind(go, tmp_path):
    for analysis in dict.fromkeys(RUNS):  # imports, caches and the process's own handlers
        assert go(analysis).code == 0
    before = held()
    for analysis in RUNS:
        assert go(analysis).code == 0
    assert held() == before
    folders = [*tmp_path.glob("runs/hard/2*")]
    assert len(folders) == len(RUNS) + 2
    assert not [*tmp_path.rglob("*.tmp")]
    assert not [*tmp_path.rglob("partial")]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_runs_that_fail_leave_nothing_behind(go):
    refused = {"models__architecture__vocab_size": 4000}
    go("exact", **refused)
    before = held()
    for _ in range(3):
        assert go("exact", **refused).code == 2
        assert go("attention", models__architecture__n_layer=1).code == 2
    assert held() == before
