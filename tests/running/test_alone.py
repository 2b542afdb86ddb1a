"""Rank variables that a shell has inherited neither silence a run of one nor stop it."""

import json
import os

import pytest

from tests.processes import finish, start
from tests.small_runs import Runs, run
from un_lightning.config import Strategy, TrainerConfig
from un_lightning.running.alone import HARMLESS, ignore_stray_ranks


@pytest.mark.parametrize(("value", "says"), [("0", False), ("3", True)])
@pytest.mark.parametrize("name", HARMLESS)
def test_one_device_forgets_them(monkeypatch, capsys, name, value, says):
    value = "1" if HARMLESS[name] == "1" and not says else value
    monkeypatch.setenv(name, value)
    ignore_stray_ranks(TrainerConfig(devices=2, strategy=Strategy.ddp))
    assert capsys.readouterr().err == ""
    ignore_stray_ranks(TrainerConfig())
    assert (f"{name}={value} is ignored" in capsys.readouterr().err) is says
    ignore_stray_ranks(TrainerConfig())
    assert capsys.readouterr().err == ""


def in_a_shell_of_a_cluster(argv):
    os.environ.update(SLURM_PROCID="3", SLURM_NTASKS="4", LOCAL_RANK="1", NODE_RANK="1")
    run(argv)


@pytest.mark.slow
def test_a_run_in_the_shell_of_a_cluster(tmp_path, small_text):
    runs = Runs(tmp_path, small_text)
    process = start(in_a_shell_of_a_cluster, runs.argv, output=runs.output)
    assert finish(process) == [0], runs.output.read_text()
    (folder,) = runs.folders
    assert json.loads((folder / "summary.json").read_text())["world_size"] == 1
    assert "SLURM_NTASKS=4 is ignored" in runs.output.read_text().replace("\n", " ")
