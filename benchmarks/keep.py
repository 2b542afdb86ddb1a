"""How a benchmark ends: one JSON object with what was measured, on what, of which commit."""

import json
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import torch


def conclude(name: str, measured: dict[str, Any], folder: Path | None = None) -> None:
    """Print the result as one line, the last one, and keep it as a dated file.

    Args:
        name: Of the benchmark.
        measured: What was measured.
        folder: Where to keep it; None keeps nothing.
    """
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    report = {
        "benchmark": name,
        "date": str(date.today()),
        "commit": commit.stdout.strip(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **measured,
    }
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}-{date.today()}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
