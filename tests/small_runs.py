"""Runs of small experiments in processes of their own, which can be killed, and when two found the same."""

import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tests.processes import finish, free_port, signal_at, start
from un_lightning import cli
from un_lightning.analyses.correlation.memory import plan_memory
from un_lightning.config import CorrelationConfig, Site
from un_lightning.errors import UserError
from un_lightning.models.units import Units


BATCHES = 8
"""Batches of four blocks in the one-process runs; two ranks have as many of two blocks each."""

KILL = signal.SIGKILL


def run(argv: list[str], interruption: tuple[str, int, int] | None = None) -> None:
    """What a process does: one run, which is sent a signal at a call of one of its functions."""
    from un_lightning.analyses.base import Analysis
    from un_lightning.results import partial
    from un_lightning.running import callbacks
    from un_lightning.stats.cross_product import CrossProduct
    from un_lightning.stats.unit_sums import UnitSums

    if interruption is not None:
        place, call, number = interruption
        owner, name, after = {
            "in a batch": (UnitSums, "add", False),  # of three members: some sums have it, others do not
            "in a product": (CrossProduct, "add", False),
            "before saving": (callbacks, "save_partial", False),
            "while saving": (partial, "atomic_write", False),  # the tensors are there, the position is not
            "after saving": (callbacks, "save_partial", True),
            "at the end": (Analysis, "on_validation_epoch_end", False),
        }[place]
        signal_at(owner, name, call, number, after)
    sys.argv = [str(Path(__file__).parent.parent / "experiments" / "run.py"), *argv]
    cli.launch("run", argv)


class Runs:
    """Runs of one small experiment in one folder.

    Args:
        folder: Where it lies; made if it is missing.
        data: Overrides that choose the text.
        world: Ranks.
        nodes: Machines that these are on.
        experiment: Which one.
        settings: Overrides of its analysis.
    """

    def __init__(
        self,
        folder: Path,
        data: Iterable[str],
        world: int = 1,
        nodes: int = 1,
        experiment: str = "tiny/universality",
        settings: Iterable[str] = ("analysis.candidates=128",),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.root, self.world, self.nodes = folder / "runs", world, nodes
        self.output = folder / "output.txt"
        trainer = "cpu" if world == 1 else "ddp_cpu"
        self.argv = [
            f"experiment={experiment}", "models=random_tiny", "data.part=all", "data.context=32",
            f"data.tokens={BATCHES * 4 * 32}", f"data.batch_size={4 // world}", "logger=none", "name=resumed",
            f"trainer={trainer}", "trainer.threads=1", f"root={self.root}", *data, *settings,
        ]  # fmt: skip

    def go(self, *more: str, interruptions=(None,), save_minutes: float = 0) -> list[int]:
        """Run all ranks to their ends; returns their exit codes."""
        self.output.unlink(missing_ok=True)
        argv = [*self.argv, f"trainer.save_minutes={save_minutes}", *more]
        port = free_port()
        return finish(
            *(
                start(
                    run,
                    argv,
                    interruption,
                    output=self.output,
                    rank=rank,
                    world=self.world,
                    port=port,
                    nodes=self.nodes,
                )
                for rank, interruption in enumerate(interruptions)
            )
        )

    @property
    def folders(self) -> list[Path]:
        return sorted((self.root / "resumed").glob("2*"))

    def position(self, rank: int) -> int | None:
        """Batches of a rank that are saved."""
        for meta in self.root.glob(f"resumed/2*/partial/pass*/rank{rank}.json"):
            return json.loads(meta.read_text())["position"]
        return None


def memory_for(
    passes: int,
    widths: tuple[int, ...],
    batch_tokens: int,
    devices: int = 1,
    shares: int = 1,
    **settings: Any,
) -> float:
    """The smallest `analysis.memory_gb` with which a run needs no more passes, to a byte.

    Args:
        passes: How many.
        widths: Units of each layer of each of three models, of which the first is paired with the others.
        batch_tokens: Tokens of a batch.
        devices: Devices that share the rows out.
        shares: Shares of the text.
        settings: Of the analysis.
    """
    units = {name: Units(name, Site.mlp_post, widths) for name in "abc"}
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        config = CorrelationConfig(memory_gb=middle, **settings)
        try:
            plan = plan_memory(
                config, [("a", "b"), ("a", "c")], units, batch_tokens=batch_tokens, devices=devices,
                shares=shares, processes=devices, device=torch.device("cpu"), wide=torch.float32,
            )  # fmt: skip
            enough = plan.passes <= passes
        except UserError:
            enough = False
        low, high = (low, middle) if enough else (middle, high)
    return high


def assert_same_results(folder: Path, other: Path) -> None:
    """Equal to 1e-6: float32 sums of a thousand products in another order differ by less than that."""
    names = sorted(path.name for path in (other / "tables").iterdir())
    assert sorted(path.name for path in (folder / "tables").iterdir()) == names
    for name in names:
        found, wanted = (pd.read_parquet(path / "tables" / name) for path in (folder, other))
        assert_same_table(found, wanted)
    found, wanted = (json.loads((path / "summary.json").read_text()) for path in (folder, other))
    assert found.keys() == wanted.keys()
    measured = {"seconds", "tokens_per_second", "memory/peak_gb", "memory/planned_gb"}
    for key in found.keys() - measured - {"world_size", "passes"}:
        if isinstance(found[key], float):
            np.testing.assert_allclose(found[key], wanted[key], rtol=0, atol=1e-6, err_msg=key)
        else:
            assert found[key] == wanted[key], key


def assert_same_table(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Equal to 1e-6; p-values to 1e-4, for they divide differences by their spread, a hundredth or less."""
    chance = [column for column in wanted if column.endswith("_chance")]
    pd.testing.assert_frame_equal(found[chance], wanted[chance], rtol=0, atol=1e-4)
    found, wanted = (table.drop(columns=chance) for table in (found, wanted))
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-6, atol=1e-6)


def assert_same_sums(folder: Path, other: Path) -> None:
    """What does not depend on the number of ranks; intervals do, for each rank makes its own groups."""
    found, wanted = (pd.read_parquet(path / "tables" / "neurons.parquet") for path in (folder, other))
    columns = [f"{which}_{what}" for which in ("max", "mean", "min") for what in ("corr", "baseline")]
    columns = ["model", "layer", "neuron", "valid", "universal", "excess_corr", "baseline_stderr", *columns]
    pd.testing.assert_frame_equal(found[columns], wanted[columns], rtol=0, atol=1e-6)
    found, wanted = (json.loads((path / "summary.json").read_text()) for path in (folder, other))
    for key in (
        "universal/count",
        "neurons/invalid",
        "tokens",
        "excess/mean",
        "max_corr/mean",
        "baseline/mean",
    ):
        np.testing.assert_allclose(found[key], wanted[key], rtol=0, atol=1e-6, err_msg=key)
