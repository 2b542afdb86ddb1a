"""How every benchmark begins and ends: its arguments, its ratios against their targets, one dated JSON.

A ratio compares two things that were timed in the same run, so that it says the same on another machine.
"""

import argparse
import json
import platform
import subprocess
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch


VERSIONS = ("torch", "transformers", "pytorch-lightning", "numpy", "scipy")
MEASURED = ("un_lightning", "configs", "benchmarks/*.py")
"""What a figure depends on: where one of these differs from the commit, the commit is called dirty."""


class Ratio(NamedTuple):
    """A measured number and what this project asks of it, where it asks anything."""

    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """In words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_most is not None else ""

    @property
    def met(self) -> bool:
        """Whether the target is reached; also where there is none."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def plain(self) -> dict[str, Any]:
        """For the file: what applies."""
        value: dict[str, Any] = {"value": float(f"{self.value:.4g}")}
        bounds = {"at_least": self.at_least, "at_most": self.at_most}
        value |= {name: bound for name, bound in bounds.items() if bound is not None}
        return value | ({"met": self.met} if self.target else {})


Found = tuple[dict[str, Ratio], dict[str, Any]]
"""Ratios, and what else was measured."""


def arguments(description: str | None, quick: str) -> argparse.ArgumentParser:
    """The arguments that all benchmarks have.

    Args:
        description: The program's docstring.
        quick: What its quick form does.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"to try it out: {quick}")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="where to keep the dated result")
    return parser


def on_threads(parser: argparse.ArgumentParser, threads: int | None = 1) -> argparse.Namespace:
    """Parse the arguments, and keep torch to so many threads.

    Args:
        parser: From `arguments`.
        threads: Unless `--threads` says otherwise; None takes as many as torch finds right.
    """
    parser.add_argument("--threads", type=int, default=threads, help="of torch on the CPU")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def this_device() -> torch.device:
    """The GPU, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def conclude(
    name: str,
    ratios: dict[str, Ratio],
    measured: dict[str, Any],
    options: argparse.Namespace,
    device: torch.device | None = None,
) -> None:
    """Print the ratios with their targets and everything as one line, the last one; keep that with `--save`.

    Args:
        name: Of the benchmark; of the file, too, behind which comes the date.
        ratios: What this is about.
        measured: All else that was measured.
        options: The arguments, which are recorded.
        device: Where it ran; the CPU by default.
    """
    for label, ratio in ratios.items():
        verdict = "" if not ratio.target else "   reached" if ratio.met else "   missed"
        print(f"{label:44} {ratio.value:12.4g}   {ratio.target:14}{verdict}")
    report = {
        "benchmark": name,
        "date": str(date.today()),
        "commit": _commit(),
        "device": torch.cuda.get_device_name(device) if device and device.type == "cuda" else _processor(),
        "cores": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | {one: version(one) for one in VERSIONS},
        "options": {key: value for key, value in vars(options).items() if key != "save"},
        "ratios": {label: ratio.plain() for label, ratio in ratios.items()},
        **measured,
    }
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
        path = options.save / f"{name}{'-quick' if options.quick else ''}-{date.today()}.json"
        path.write_text(json.dumps(report, indent=1, default=str) + "\n")
    print(json.dumps(report, default=str))


def _commit() -> str:
    def git(*words: str) -> str:
        folder = Path(__file__).parent.parent
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=folder).stdout

    changed = git("status", "--porcelain", "--", *MEASURED)
    return git("rev-parse", "--short", "HEAD").strip() + ("-dirty" if changed.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
