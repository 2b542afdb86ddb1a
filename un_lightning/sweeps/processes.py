"""The process of a point: its environment, its output, and how it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from un_lightning.files import atomic_write
from un_lightning.results.runs import SUMMARY
from un_lightning.sweeps.agent_values import PATH as VALUES_PATH
from un_lightning.sweeps.command import command_words, nested
from un_lightning.sweeps.search import Point
from un_lightning.sweeps.spec import Sweep
from un_lightning.sweeps.state import SweepFolder


RUN_DIR = "UN_LIGHTNING_RUN_DIR"
RESUME = "UN_LIGHTNING_RESUME"
_OF_ANOTHER_RUN = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_NAME", "WANDB_RESUME", RESUME)


class Process:
    """A point that is running."""

    def __init__(self, sweep: Sweep, folder: SweepFolder, point: Point, slot: int, workers: int) -> None:
        self.point = point
        self.slot = slot
        self.signals = 0
        """How often it was asked to stop."""
        self.started = time.monotonic()
        values = nested(sweep.parameters, point.values)
        json_file = folder.values_file(point, ".json")
        atomic_write(json_file, json.dumps(values))
        given = {key: {"value": value} for key, value in values.items()}
        text = "wandb_version: 1\n\n" + yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
        atomic_write(folder.values_file(point, ".yaml"), text)
        with folder.log(point).open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - the command is the user's own
                command_words(sweep, values, str(json_file)),
                env=_environment(sweep, folder, point, slot, workers),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # signals reach it, and its ranks, from us alone
            )

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def exit_code(self) -> int | None:
        """What the process returned; None while it runs."""
        return self._popen.poll()

    def stop(self, number: int) -> None:
        """Send a signal to the process and to those that it has started."""
        self.signals += 1
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)


def _environment(sweep: Sweep, folder: SweepFolder, point: Point, slot: int, workers: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_RUN}
    run_dir = folder.run_dir(point)
    environment |= {
        RUN_DIR: str(run_dir),
        VALUES_PATH: str(folder.values_file(point, ".yaml").absolute()),
        "WANDB_RUN_GROUP": sweep.id,
        # `python` in a command means the one that runs the sweep.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
    }
    if can_go_on(run_dir):
        environment[RESUME] = "auto"
    if workers > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))
        devices = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if len(devices) >= workers:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices[slot::workers])
    return environment


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying of them."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:  # noqa: ARG001
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def can_go_on(run_dir: Path) -> bool:
    """Whether a run left something to go on from: a saved state, or a finished part of a study."""
    return any(any(run_dir.glob(trace)) for trace in ("partial", "*/partial", f"*/{SUMMARY}"))


def last_line(log: Path) -> str:
    """The last line that says something: the error where there is one."""
    try:
        text = log.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [""])[-1][:300]
