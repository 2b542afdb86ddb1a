"""A pass in parts, in this process: what each of two ranks adds up, and what goes on after a stop."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tests.stats.ranks import merge
from un_lightning.analyses.base import PLAN, Analysis
from un_lightning.config import TrainerConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.stream import Stream
from un_lightning.lightning import make_trainer


def validate(analysis: Analysis, stream: Stream, folder: Path) -> Analysis:
    """All passes of an analysis over a stream."""
    trainer = make_trainer(TrainerConfig(accelerator="cpu", threads=1), None, folder)
    while not analysis.complete:
        trainer.validate(analysis, datamodule=stream, verbose=False)
    return analysis


class Parts:
    """An analysis that was run as a whole, and can be run in parts.

    Args:
        make: A fresh analysis.
        stream: A fresh stream.
        folder: Where the trainer may write.
        whole: The analysis that is run as a whole, where it is made otherwise than each part.
    """

    def __init__(
        self,
        make: Callable[[], Analysis],
        stream: Callable[[], TokenBlocks],
        folder: Path,
        whole: Analysis | None = None,
    ) -> None:
        self.make, self.stream, self.folder = make, stream, folder
        self.opened = stream()
        self.whole = validate(whole or make(), self.opened, folder)

    def ranks_add_up(self, **tolerance: float) -> list[Analysis]:
        """Two ranks, each with its own batches, have together what the whole has; returns the ranks."""
        ranks = [self._read(self._batches(rank, 2)) for rank in range(2)]
        for name, statistic in self.whole.statistics.items():
            merge([analysis.statistics[name] for analysis in ranks])
            for tensor, value in statistic.tensors.items():
                merged = ranks[0].statistics[name].tensors[tensor]
                torch.testing.assert_close(merged, value, **tolerance)
        return ranks

    def goes_on(self, after: int) -> None:
        """What is saved after some batches goes on to the same tables, to the last bit."""
        stopped = self._read(self._batches(0, 1)[:after])
        later, rest = self.make(), self.stream()
        rest.start = later.position = stopped.position
        later.counted = stopped.counted
        saved = {name: tensor.clone() for name, tensor in stopped.state().items()}
        later.continue_from(self.whole.known, saved)
        found = validate(later, rest, self.folder).results.tables
        assert found.keys() == self.whole.results.tables.keys()
        for name, table in self.whole.results.tables.items():
            pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)

    def _batches(self, rank: int, world: int) -> list[Any]:
        batches = self.opened.batches(rank, world)
        return [batches[index] for index in range(len(batches))]

    def _read(self, batches: Iterable[Any]) -> Analysis:
        """Begin with what the whole agreed on, and add batches."""
        analysis = self.make()
        analysis.trainer, analysis.subsets = self.whole.trainer, self.whole.subsets
        analysis.begin({name: value for name, value in self.whole.known.items() if name != PLAN})
        analysis.begin_pass()
        for index, batch in enumerate(batches):
            analysis.validation_step(batch, index)
        return analysis
