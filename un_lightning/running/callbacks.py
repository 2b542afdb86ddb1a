"""What happens beside the batches: saving the partial state, stopping in good order, progress."""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from un_lightning import __version__
from un_lightning.analyses.base import Analysis
from un_lightning.config import registry
from un_lightning.data.stream import Stream
from un_lightning.digest import digest
from un_lightning.models.tokenizers import tokenizer_fingerprint
from un_lightning.progress import Meter
from un_lightning.results.partial import (
    KNOWN,
    Partial,
    forget_before,
    load_known,
    load_partial,
    save_known,
    save_partial,
)
from un_lightning.terminal import say


SECONDS_TO_SAVE = 20.0
"""How long rank 0 waits for a batch of the other ranks to end, before their states are written."""
BYTES_A_SECOND = 100e6
"""How fast a rank writes its state at least: a slow disk, or a fast one that many ranks share."""
SECONDS_TO_LOOK = 0.1
"""How often rank 0 looks whether ranks that others started have saved."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop, and its state is saved."""


class KeepPartial(Callback):
    """Saves the statistics every few minutes, and at once when a signal asks the run to stop.

    A signal only leaves a note; the state is saved between two batches, because in the middle of one some
    sums have the batch and others do not. Rank 0 passes the signal on to the ranks that Lightning started.
    It ends last, for Lightning and `srun --kill-on-bad-exit` end the others with it. A second signal ends
    rank 0 the usual way, and the others end as soon as they see that it is gone.
    """

    def __init__(self, run_dir: Path | None, resume: bool, minutes: float) -> None:
        self.run_dir = run_dir
        self.resume = resume
        self.seconds = 60 * minutes
        self.asked: int | None = None
        self.turned = False
        """Whether a further pass over the stream begins in this process."""
        self.bytes = 0
        """Size of the state that was saved last."""
        self.handlers: dict[int, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Tell every rank the run folder, and hand the saved state to the analysis and the data."""
        assert isinstance(pl_module, Analysis)
        if pl_module.current > 0:  # a further pass of the same run
            stream_of(trainer).start, self.turned = 0, True
            return
        self.run_dir, self.resume = trainer.strategy.broadcast((self.run_dir, self.resume))
        assert self.run_dir is not None
        self.folder = self.run_dir / "partial"
        self._stopped(trainer.global_rank).unlink(missing_ok=True)  # left by a run that this one goes on with
        self.parent = os.getppid()
        self.first = trainer.is_global_zero
        launcher: Any = trainer.strategy.launcher
        self.started: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
        data = stream_of(trainer)
        self.origin = origin_of(pl_module, data)
        known = load_known(self.folder) if self.resume else None
        if known is not None:
            state = load_partial(self.folder, trainer.global_rank, trainer.world_size, self.origin)
            pl_module.continue_from(known, state.tensors if state else None, state.number if state else 0)
            if state is not None:
                pl_module.position, pl_module.counted = state.position, state.counted
                data.start = state.position

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen to signals; Lightning's own handlers would broadcast, which can wait for ever."""
        self.saved = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other thread listen
        for number in (signal.SIGINT, signal.SIGTERM):
            self.handlers[number] = signal.signal(number, self._note)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Before the first batch, keep what all ranks agreed on; before a further pass, everything."""
        assert isinstance(pl_module, Analysis)
        if trainer.is_global_zero and not (self.folder / KNOWN).exists():
            save_known(self.folder, pl_module.known)
        if self.turned:
            self.turned = False
            self._save(trainer, pl_module)
            trainer.strategy.barrier()
            if trainer.is_global_zero:
                forget_before(self.folder, pl_module.current)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Save if it is time to, or if a signal asked for it."""
        assert isinstance(pl_module, Analysis)
        if os.getppid() != self.parent and not self.first:
            raise SystemExit("rank 0 is gone: a resumed run may already be reading these blocks")
        if self.asked is None and time.monotonic() - self.saved < self.seconds:
            return
        self._save(trainer, pl_module)
        if self.asked is not None:
            self._release()
            if self.first:
                self._wait_for_others(trainer.world_size)
            else:  # the other signal of two must not end this rank as if it had crashed
                signal.signal(self.asked, signal.SIG_IGN)
                self._stopped(trainer.global_rank).touch()
            raise Interrupted(signal.Signals(self.asked).name)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stop listening."""
        self._release()

    def on_exception(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Stop listening; the last saved state stands, for the batch that failed is half added."""
        self._release()

    def _save(self, trainer: pl.Trainer, analysis: Analysis) -> None:
        tensors = analysis.state()
        self.bytes = sum(tensor.nbytes for tensor in tensors.values())
        state = Partial(analysis.position, analysis.counted, self.origin, tensors, analysis.current)
        save_partial(self.folder, trainer.global_rank, trainer.world_size, state)
        self.saved = time.monotonic()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.asked = number
        if not self.first:
            return  # a signal may come twice, from the terminal and from rank 0
        signal.signal(number, self.handlers.get(number, signal.SIG_DFL))
        for process in self.started:
            process.send_signal(number)
        say(f"{signal.Signals(number).name}: saving after this batch")

    def _wait_for_others(self, world: int) -> None:
        """Let the other ranks save, however they were started; one that waits for this rank never would."""
        end = time.monotonic() + SECONDS_TO_SAVE + self.bytes / BYTES_A_SECOND
        for process in self.started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
        others = [] if self.started else [self._stopped(rank) for rank in range(1, world)]
        while not all(path.exists() for path in others) and time.monotonic() < end:
            time.sleep(SECONDS_TO_LOOK)

    def _stopped(self, rank: int) -> Path:
        """Where a rank says that it has saved because a signal asked for it."""
        return self.folder / f"rank{rank}.stopped"

    def _release(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}


class Progress(Callback):
    """Units done (tokens, layers), units per second and time left, on rank 0."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self.units = 0
        self.seconds = 0.0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the progress; a resumed run begins where it was."""
        data = stream_of(trainer)
        assert isinstance(pl_module, Analysis)
        self.begun = time.monotonic() - self.seconds
        self.readers = trainer.world_size // data.copies
        self.size = data.size
        if trainer.is_global_zero:
            again = f" ({pl_module.current + 1} of {pl_module.passes} times)" if pl_module.passes > 1 else ""
            done = data.done(pl_module.position, self.readers)
            self.meter = Meter(f"Reading{again}", data.total, done, data.unit)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count the batch, and those of the other ranks along with it."""
        units = self.size(batch) * self.readers
        self.units += units
        self.seconds = time.monotonic() - self.begun
        if self.meter is not None:
            self.meter.advance(units)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Leave the progress as it is."""
        if self.meter is not None:
            self.meter.close()


def origin_of(analysis: Analysis, data: Stream) -> dict[str, str]:
    """Fingerprints of what the sums of a pass depend on besides the config.

    Args:
        analysis: What adds up, with the models that it reads.
        data: What they read.
    """
    family = analysis.family
    weights = {
        f"{name}/{key}": tensor
        for name, model in family.models.items()
        for key, tensor in model.state_dict().items()
    }
    origin = {"version": __version__, "models": digest(weights), "text": data.fingerprint()}
    if family.tokenizer is not None:
        origin["tokenizer"] = tokenizer_fingerprint(family.tokenizer)
    package = registry.package(analysis.settings.kind)
    if package is not None:
        origin["package"] = package.release
    return origin


def stream_of(trainer: pl.Trainer) -> Stream:
    """What a trainer walks over."""
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(data, Stream)
    return data
