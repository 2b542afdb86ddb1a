"""A training that is asked to stop saves where it is, between two steps, and says how to go on."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from un_lightning.terminal import say


class StopInGoodOrder(Callback):
    """Ctrl-C and SIGTERM end the training after the step that is under way; a second signal ends it at once.

    Attributes:
        asked: The signal that asked for it; None if none did.
    """

    def __init__(self, checkpoint: Path) -> None:
        """Save to `checkpoint`, from which a resumed training begins."""
        self.checkpoint = checkpoint
        self.asked: int | None = None
        self.handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen instead of Lightning, which ends a training that gets SIGTERM as if it had succeeded."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.handlers[number] = signal.signal(number, self._note)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Save and stop if a signal asked for it."""
        if self.asked is not None:
            trainer.save_checkpoint(self.checkpoint)
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stop listening."""
        self._release()

    def on_exception(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Stop listening."""
        self._release()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.asked = number
        signal.signal(number, signal.SIG_DFL)
        say(f"{signal.Signals(number).name}: saving after this step")

    def _release(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}
