"""Sweeps of a small script that takes milliseconds, so that many of them can be run."""

import json
import sys
from pathlib import Path

import pytest
import yaml


SCRIPT = '''
"""Stands in for a run: notes that it ran, and writes a summary where a run would."""
import json, os, pathlib, signal, sys, time
import yaml

given = yaml.safe_load(open(os.environ["WANDB_SWEEP_PARAM_PATH"]))
values = {k: v["value"] for k, v in given.items() if isinstance(v, dict)}
here = pathlib.Path(__file__).parent
run_dir = pathlib.Path(os.environ["UN_LIGHTNING_RUN_DIR"])

def note(what):
    with open(here / "ran.txt", "a") as file:
        file.write(json.dumps([what, values, time.monotonic(), os.getpid()]) + "\\n")

def stop(number, frame):
    note("stopped")
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, stop)
note("began")
run_dir.mkdir(parents=True, exist_ok=True)
kept = ("WANDB_", "UN_LIGHTNING_", "OMP_", "CUDA_")
environment = {k: v for k, v in os.environ.items() if k.startswith(kept)}
(run_dir / "seen.json").write_text(json.dumps({"argv": sys.argv[1:], "environment": environment}))
if (here / "wait").exists():
    while not (here / "go").exists():
        time.sleep(0.02)
time.sleep(values.get("sleep", 0))
if values.get("x") in json.loads((here / "fail.json").read_text()):
    print("error: x is not to my taste")
    sys.exit(3)
if (here / "quit").exists():
    sys.exit(0)
loss = sum((v - 0.3) ** 2 for v in values.values() if isinstance(v, float))
(run_dir / "summary.json").write_text(json.dumps({"loss": loss, "other/number": 1, "text": "a"}))
note("ended")
'''


class Workshop:
    """A folder with a script, sweep files, and what has run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "script.py"
        self.script.write_text(SCRIPT)
        self.fail_at()

    def fail_at(self, *values: object) -> None:
        (self.folder / "fail.json").write_text(json.dumps(values))

    def file(self, name: str = "some.yaml", **content: object) -> Path:
        """A sweep file that runs the script."""
        content = {
            "method": "grid",
            "command": [sys.executable, str(self.script), "${args}"],
            "metric": {"name": "loss", "goal": "minimize"},
            **content,
        }
        path = self.folder / name
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    def ran(self, what: str = "began") -> list[dict]:
        """The values of the points that began, ended or were stopped, in that order."""
        return [entry[1] for entry in self.log() if entry[0] == what]

    def log(self) -> list[list]:
        path = self.folder / "ran.txt"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)
