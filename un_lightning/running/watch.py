"""What a long run says meanwhile: findings so far, speed and memory, and why nothing moves."""

import threading
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from un_lightning.analyses.base import Analysis
from un_lightning.data.stream import Stream
from un_lightning.memory import taken_bytes
from un_lightning.terminal import duration, note
from un_lightning.tracking.record import AXIS


QUIET = 60.0
"""Seconds without a step after which a run says what it is doing, and again as often."""


WORTH_SAYING = 4_000_000_000
"""Bytes from which a run says what it will take."""


class Heartbeat(threading.Thread):
    """Says what a run is doing when it has been doing it for a while."""

    def __init__(self, quiet: float = QUIET) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.quiet = quiet
        self.over = threading.Event()
        self.beat("beginning")

    def beat(self, doing: str) -> None:
        """Something new began.

        Args:
            doing: What, as in "still …".
        """
        self.doing, self.since = doing, time.monotonic()

    def run(self) -> None:
        """Look at the clock until `over`."""
        said = self.since
        while not self.over.wait(min(self.quiet / 4, 5.0)):
            now, since = time.monotonic(), self.since
            if now - max(since, said) >= self.quiet:
                said = now
                note(f"still {self.doing}, for {duration(now - since)}")


class Watch(Callback):
    """On rank 0: a line and a point of every curve every few minutes, and a heartbeat."""

    def __init__(self, minutes: float) -> None:
        """Report as often as `minutes` says; 0 reports after every batch."""
        self.seconds = 60 * minutes
        self.heart: Heartbeat | None = None
        self.units = self.before = 0
        self.said = False

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to look at the clock."""
        assert isinstance(pl_module, Analysis)
        self.reported = self.begun = time.monotonic()
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, Stream)
        self.readers = trainer.world_size // data.copies
        self.size = data.size
        self.units, self.before = 0, data.done(pl_module.position, self.readers)
        if trainer.is_global_zero:
            self.heart = Heartbeat()
            self.heart.beat("looking at a few blocks and making room")
            self.heart.start()
            note(f"reading {data.total:,} {data.unit} …")

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,
        *_: Any,
        **__: Any,
    ) -> None:
        """A batch has come; before the first, everything is there that takes memory."""
        assert isinstance(pl_module, Analysis)
        self._beat("in a batch")
        if self.heart is not None and not self.said and pl_module.planned >= WORTH_SAYING:
            times = "once" if pl_module.passes == 1 else f"{pl_module.passes} times"
            note(f"memory: about {pl_module.planned / 1e9:.2f} GB on each device; the text is read {times}")
            self.said = True

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Report if it is time to."""
        assert isinstance(pl_module, Analysis)
        self._beat("waiting for the next batch")
        self.units += self.size(batch) * self.readers
        now = time.monotonic()
        if not trainer.is_global_zero or now - self.reported < self.seconds:
            return
        self.reported = now
        findings = pl_module.glance()
        if findings:
            note("so far: " + ", ".join(f"{name} {value:.4g}" for name, value in findings.items()))
        if trainer.logger is not None:
            data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
            points = {f"so_far/{name}": value for name, value in findings.items()}
            points["speed/units_per_second"] = self.units / max(now - self.begun, 1e-9)
            points["speed/memory_gb"] = taken_bytes(pl_module.device) / 1e9
            trainer.logger.log_metrics({**points, AXIS: min(self.before + self.units, data.total)})

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Everything is read."""
        assert isinstance(pl_module, Analysis)
        if trainer.is_global_zero and pl_module.current + 1 >= pl_module.passes:
            note("making tables and figures …")
        self._beat("adding up over the ranks and making tables and figures")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stop looking at the clock."""
        self._stop()

    def on_exception(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Stop looking at the clock."""
        self._stop()

    def _beat(self, doing: str) -> None:
        if self.heart is not None:
            self.heart.beat(doing)

    def _stop(self) -> None:
        if self.heart is not None:
            self.heart.over.set()
            self.heart = None
