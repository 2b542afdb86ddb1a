"""Many short runs in one process: does anything grow?

    python benchmarks/soak.py [--quick] [--save benchmarks/results]

Runs of a tiny correlation and of a tiny families analysis take turns, 200 in all (30 with --quick), as the
program makes them, from models to the summary. Printed are the resident memory of the process, its open
files, threads and child processes, and temporary files left in the run folders: after a tenth of the runs,
after half and at the end. The program fails if anything but memory grew, or memory by more than `GROWTH` in
the second half of 200 runs, when caches are full.
The last line is one JSON object.
"""

import gc
import os
import tempfile
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from datasets import Dataset
from hydra import compose, initialize_config_dir
from keep import Ratio, arguments, conclude, on_threads
from omegaconf import DictConfig, OmegaConf

from un_lightning.compose import check, configs_folder
from un_lightning.config import register_schemas
from un_lightning.running import launch


CONTEXT, BLOCKS = 16, 16
GROWTH = 200
"""kB of memory a run, in the second half of 200 runs: fragments of the heap are less, and a model, a batch or
a figure that stays is more."""
SMALL = {
    "correlation": ["experiment=tiny/universality"],
    "families": ["experiment=tiny/families", "analysis.min_count=5", "analysis.labels.unigram_occurrences=5"],
}


def configs(store: Path) -> list[DictConfig]:
    """Both experiments over a small store."""
    register_schemas()
    shared = [
        "models=random_tiny", "data=store", f"data.path={store}", f"data.context={CONTEXT}",
        f"data.tokens={BLOCKS * CONTEXT}", "data.batch_size=4", "logger=none", "trainer=cpu",
        "trainer.threads=1", "name=soak",
    ]  # fmt: skip
    with initialize_config_dir(str(configs_folder()), version_base="1.3"):
        return [compose("config", [*own, *shared]) for own in SMALL.values()]


def taken(folder: Path) -> dict[str, int]:
    """What the process holds."""
    gc.collect()
    process = psutil.Process()
    return {
        "memory_kb": process.memory_info().rss // 1000,
        "files": process.num_fds(),
        "threads": max(process.num_threads(), threading.active_count()),
        "children": len(process.children(recursive=True)),
        "temporary_files": sum(1 for path in folder.rglob("*.tmp")),
    }


def soak(runs: int, folder: Path) -> dict[int, dict[str, int]]:
    """What is held after a tenth of the runs, after half of them, and after all."""
    tokens = np.random.default_rng(0).integers(1, 4096, (BLOCKS, CONTEXT))
    Dataset.from_dict({"tokens": tokens.tolist()}).save_to_disk(str(folder / "store"))
    both = configs(folder / "store")
    held: dict[int, dict[str, int]] = {}
    for number in range(1, runs + 1):
        config = both[number % len(both)]
        plain: Any = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            launch.run(check(config), plain)
        if number in (runs // 10, runs // 2, runs):
            held[number] = taken(folder)
            print(f"after {number:3} runs: " + ", ".join(f"{v:,} {k}" for k, v in held[number].items()))
    return held


def main() -> None:
    """Run, print, and fail if something grew."""
    options = on_threads(arguments(__doc__, quick="30 runs, in which caches are still filling"))
    runs = 30 if options.quick else 200
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            held = soak(runs, Path(folder))
        finally:
            os.chdir(before)
    early, middle, late = held.values()
    growth = (late["memory_kb"] - middle["memory_kb"]) / (runs - runs // 2)
    limit = None if options.quick else GROWTH
    conclude(
        "soak",
        {"kB of memory a run, second half": Ratio(growth, at_most=limit)},
        {"runs": runs, "early": early, "middle": middle, "late": late},
        options,
    )
    grows = limit is not None and growth > limit
    if grows or any(late[name] > early[name] for name in late if name != "memory_kb"):
        raise SystemExit("something grows")


if __name__ == "__main__":
    main()
