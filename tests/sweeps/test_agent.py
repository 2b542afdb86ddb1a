"""The same files with W&B's own `wandb sweep` and `wandb agent`, against a server on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.sweeps.wandb_server import serving
from un_lightning.results import read_summary
from un_lightning.sweeps.main import main


pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]

# What this project's programs do first with their arguments, without what is slow to import.
PROBE = """
import json, os, sys
from un_lightning import cli
from un_lightning.sweeps.preflight import composer
words = cli._from_a_sweep(sys.argv[1:])
with composer() as compose:
    compose(words)
with open(os.environ["SEEN"], "a") as file:
    file.write(json.dumps([words, sys.argv[1:]]) + "\\n")
"""


def wandb(server, folder, *arguments, **variables):
    """W&B's command line, logged in to the server; runs themselves stay offline, as `WANDB_MODE` says."""
    environment = {
        **os.environ,
        **variables,
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_DIR": str(folder),
        "HOME": str(folder),
        "WANDB_ENTITY": "somebody",
        "WANDB_PROJECT": "project",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("WANDB_MODE", None)  # the command line itself talks to the server
    command = [sys.executable, "-m", "wandb", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_agent_runs_the_points_that_the_local_runner_runs(tmp_path):
    """None, text with commas, lists and fractions reach Hydra with their types, with and without a server."""
    parameters = {
        "analysis.sample": {"values": [None, 2000]},
        "data.path": {"value": "a,b = c"},
        "analysis.measures": {"value": ["mutual", "cka"]},
        "analysis.ridge": {"value": 1e-5},
    }
    command = ["${env}", "WANDB_MODE=offline", "python", "experiments/run.py", "experiment=tiny/universality"]
    content = {"method": "grid", "parameters": parameters, "command": [*command, "${args_no_hyphens}"]}
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "run.py").write_text(PROBE)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    with serving() as server:
        said = wandb(server, tmp_path, "sweep", "sweep.yaml")
        assert "wandb agent somebody/project/abcd1234" in said
        wandb(server, tmp_path, "agent", "somebody/project/abcd1234", SEEN=str(tmp_path / "agent.txt"))
        assert {"Viewer", "UpsertSweep", "SweepWithRuns", "CreateAgent", "Heartbeat"} <= {*server.heard}
        assert len(server.points) == 2
    environment = {**os.environ, "SEEN": str(tmp_path / "local.txt")}
    code = "import sys; from un_lightning.sweeps.main import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, "sweep.yaml"], cwd=tmp_path, env=environment, check=True)
    agent, local = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("agent.txt", "local.txt")
    )
    assert agent == local, said
    words, argv = agent[0]
    assert words == argv == [
        "experiment=tiny/universality", "analysis.measures=[mutual,cka]", "analysis.ridge=1e-05",
        "analysis.sample=null", "data.path='a,b = c'",
    ]  # fmt: skip


def test_a_shipped_file_with_an_agent_on_two_ranks_and_without_on_one(tmp_path):
    """The sweep's values reach every rank: two ranks by the agent find what one finds by the local runner."""
    content = yaml.safe_load((REPOSITORY / "sweeps" / "universality.yaml").read_text())
    content["parameters"]["data.tokens"] = {"value": 2_000}
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(content))
    content["parameters"]["trainer"] = {"value": "ddp_cpu"}
    content["command"].insert(1, "WANDB_MODE=offline")
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(content))
    with serving(most=1) as server:
        wandb(server, tmp_path, "sweep", "two.yaml")
        wandb(server, tmp_path, "agent", "somebody/project/abcd1234")
        (point,) = server.points
    (two,) = (tmp_path / "runs" / "tiny" / "universality").glob("2*")
    assert main(["one.yaml", "--count", "1"]) == 0
    (one,) = (tmp_path / "runs" / "sweeps").glob("*/0001")
    ours, theirs = read_summary(one), read_summary(two)
    assert (ours["world_size"], theirs["world_size"]) == (1, 2)
    assert ours["tokens"] == theirs["tokens"]
    assert ours["excess/mean"] == pytest.approx(theirs["excess/mean"], rel=1e-5)  # sums in another order
    for run_dir in (one, two):
        config = yaml.safe_load((run_dir / "config.yaml").read_text())
        assert (config["analysis"]["draws"], config["data"]["tokens"]) == (point["analysis.draws"], 2_000)
        assert len([*run_dir.glob("wandb/offline-run-*")]) == 1
    assert record(two)["sweep_id"] == "abcd1234"
    assert record(two)["run_id"] == "point1"
    assert record(one)["run_group"] == one.parent.name
    for run_dir in (one, two):
        assert f"analysis.draws={point['analysis.draws']}" in record(run_dir)["notes"]


def record(run_dir):
    """What an offline run says of itself."""
    (run,) = run_dir.glob("wandb/offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (found,) = [entry["run"] for entry in map(json.loads, lines) if entry["type"] == "run"]
    return found
