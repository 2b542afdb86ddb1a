"""W&B's own `wandb sweep` and `wandb agent` against a server on loopback, and a whole run on two ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.announcements import without_announcements
from tests.small_runs import assert_same_sums
from tests.sweeps.wandb_server import serving
from un_lightning import cli
from un_lightning.results.results import read_summary


pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]

# What this project's programs do first with their arguments, without what is slow to import.
PROBE = """
import json, os, sys
from un_lightning import cli
from un_lightning.compose import composer
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


SETTINGS = {
    "models": "random_tiny", "data.part": "all", "data.context": 32, "data.tokens": 1000,
    "data.batch_size": 3, "analysis.candidates": 128, "trainer.threads": 1,
}  # fmt: skip
"""A small form of the experiment."""


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory, small_text):
    """A point of a shipped file, run by the agent in two processes, of which Lightning starts the second."""
    folder = tmp_path_factory.mktemp("agent")
    (folder / "experiments").symlink_to(REPOSITORY / "experiments")
    content = yaml.safe_load((REPOSITORY / "sweeps" / "universality.yaml").read_text())
    settings = SETTINGS | dict(word.split("=", 1) for word in small_text) | {"trainer": "ddp_cpu"}
    content["parameters"] |= {key: {"value": value} for key, value in settings.items()}
    keep_output = ["sh", "-c", 'exec "$@" >out.txt 2>err.txt', "sh"]
    env, *command = content["command"]
    content["command"] = [*keep_output, env, "WANDB_MODE=offline", *command]
    with serving(most=1) as server:
        server.config = content
        said = wandb(server, folder, "agent", "somebody/project/abcd1234")
        (point,) = server.points
    (run_dir,) = (folder / "runs" / "tiny" / "universality").glob("2*")
    out, err = ((folder / name).read_text() for name in ("out.txt", "err.txt"))
    assert (run_dir / "summary.json").exists(), said + out + err
    return SimpleNamespace(point=point, run_dir=run_dir, out=out, err=err, metric=content["metric"]["name"])


@pytest.fixture(scope="module")
def recorded(two_ranks):
    """What the offline record holds: of the run itself, and in its summary."""
    (record,) = two_ranks.run_dir.glob("wandb/offline-run-*")
    command = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json"]
    answers = [
        subprocess.run([*command, *options, record], capture_output=True, text=True, check=True).stdout
        for options in ((), ("--summary",))
    ]
    (run,) = [entry["run"] for entry in map(json.loads, answers[0].splitlines()) if entry["type"] == "run"]
    return SimpleNamespace(run=run, **json.loads(answers[1]))


def test_the_values_of_an_agent_reach_every_rank(two_ranks, recorded):
    config = yaml.safe_load((two_ranks.run_dir / "config.yaml").read_text())
    assert config["analysis"]["draws"] == two_ranks.point["analysis.draws"] == 1
    assert config["data"]["tokens"] == 1000
    assert read_summary(two_ranks.run_dir)["world_size"] == 2
    assert two_ranks.metric in read_summary(two_ranks.run_dir)
    assert (recorded.run["sweep_id"], recorded.run["run_id"]) == ("abcd1234", "point1")
    assert "analysis.draws=1" in recorded.run["notes"]


def test_two_ranks_find_what_one_finds(two_ranks, small_text, tmp_path):
    settings = [f"{key}={value}" for key, value in (SETTINGS | two_ranks.point).items() if key != "trainer"]
    cli.launch(
        "run", ["experiment=tiny/universality", *settings, "trainer=cpu", "logger=none", "run_dir=one"]
    )
    assert_same_sums(two_ranks.run_dir, tmp_path / "one")


def test_a_good_run_makes_no_noise(two_ranks):
    assert without_announcements(two_ranks.err) == ""
    lines = two_ranks.out.splitlines()
    assert lines[0].startswith("W&B: WANDB_MODE is offline, so the run is recorded offline; upload it with: ")
    assert lines[-1].endswith(f"results in runs/tiny/universality/{two_ranks.run_dir.name}")
    assert two_ranks.out.count("Universal units") == 1


def test_the_record_has_what_the_folder_has(two_ranks, recorded):
    assert (recorded.state, recorded.exit_code) == ("finished", 0)
    assert recorded.config["analysis"]["candidates"] == 128
    for name, value in read_summary(two_ranks.run_dir).items():
        if value is not None:
            assert recorded.summary[name] == pytest.approx(value, abs=1e-12), name
    for folder in ("tables", "figures"):
        for path in (two_ranks.run_dir / folder).iterdir():
            # The name of a table that is cut short goes on with how short.
            assert [name for name in recorded.summary if name.startswith(f"{folder}/{path.stem}")], path
