"""An analysis of one model, batch by batch, against the bare forward pass of the same batch."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from random_models import SHAPES, random_text

from un_lightning.analyses.base import Analysis
from un_lightning.config import TrainerConfig
from un_lightning.lightning import make_trainer
from un_lightning.models.frozen import FrozenModel


BLOCKS = 32
"""Of a batch: 4,096 tokens of the tiny family's context."""
UNSTEADY = 2
"""First batches of a reading, which also take memory and know nothing yet."""


class Reading(NamedTuple):
    """Seconds of each batch of one reading of the text."""

    added: list[float]
    """In the analysis, its forward pass included."""
    bare: list[float]
    """In the forward pass alone, run once more right after, so that both see the same machine."""

    @property
    def ratios(self) -> list[float]:
        """Of every batch."""
        return [added / bare for added, bare in zip(self.added, self.bare, strict=True)]

    @property
    def ratio(self) -> float:
        """Median over the steady batches."""
        return statistics.median(self.ratios[UNSTEADY:])

    @property
    def milliseconds(self) -> tuple[float, float]:
        """Medians of both over the steady batches."""
        added, bare = (1e3 * statistics.median(seconds[UNSTEADY:]) for seconds in self)
        return added, bare


def read_against_forward(
    analysis: Analysis, model: FrozenModel, batches: int, threads: int
) -> tuple[list[Reading], float]:
    """Run an analysis over random text on the CPU.

    Args:
        analysis: Of one model of the tiny family's shape.
        model: The model.
        batches: In each reading.
        threads: Of torch.

    Returns:
        Each reading of the text, and seconds of all that was not a batch: pilot, sums, report.
    """
    readings: list[Reading] = []
    add = analysis.add

    def add_twice(batch: Any) -> None:
        if analysis.current == len(readings):
            readings.append(Reading([], []))
        begun = time.perf_counter()
        add(batch)
        added = time.perf_counter()
        model.run(batch.tokens, {})
        readings[-1].added.append(added - begun)
        readings[-1].bare.append(time.perf_counter() - added)

    analysis.add = add_twice
    with tempfile.TemporaryDirectory() as folder:
        context = SHAPES["tiny"]["n_positions"]
        stream = analysis.stream(random_text(Path(folder), batches * BLOCKS, context, BLOCKS))
        trainer = make_trainer(TrainerConfig(accelerator="cpu", threads=threads), None, Path(folder))
        begun = time.perf_counter()
        while not analysis.complete:
            trainer.validate(analysis, datamodule=stream, verbose=False)
        total = time.perf_counter() - begun
    return readings, total - sum(sum(seconds) for reading in readings for seconds in reading)
