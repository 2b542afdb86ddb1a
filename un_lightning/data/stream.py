"""What the pass of an analysis walks over, as the loop, the progress bar and the summary see it."""

import os
import signal
from abc import abstractmethod
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from un_lightning.data.ahead import Ahead


class Stream(pl.LightningDataModule):
    """Batches that are shared out over the ranks by arithmetic, each with a `count` of what it holds.

    Attributes:
        start: Batches of each rank that a resumed run has behind it.
        shared_by_node: Whether the devices of a node read the same batches, instead of each its own.
    """

    unit = "tokens"
    """What the progress bar counts."""

    def __init__(self) -> None:
        super().__init__()
        self.start = 0
        self.shared_by_node = False

    @property
    def copies(self) -> int:
        """Ranks that read the same batches."""
        return self.trainer.num_devices if self.trainer is not None and self.shared_by_node else 1

    @property
    @abstractmethod
    def total(self) -> int:
        """Units that all ranks walk over together."""

    @abstractmethod
    def size(self, batch: Any) -> int:
        """Units of a batch."""

    @abstractmethod
    def done(self, position: int, world: int) -> int:
        """Units in the first `position` batches of each of `world` ranks; more than `total` is no harm."""

    @abstractmethod
    def pilot(self, blocks: int) -> Any:
        """What an analysis may look at before the pass, the same on every rank."""

    def fingerprint(self) -> str:
        """What tells this stream from one over other data; a run only goes on over the same."""
        return ""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the summary says about the data; `tokens` among it."""


def loader(batches: Any, workers: int = 0) -> DataLoader[Any]:
    """A loader whose items are whole batches.

    Lightning leaves out the loop, and with it the reduction over ranks and the report, where a loader is
    empty: a rank that has everything behind it gets one batch that is None instead.

    Args:
        batches: Batches by index.
        workers: Processes that load them; 0 loads in this one, the next while the last is in use.
    """
    if workers > 0:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    whole: Any = [None] if len(batches) == 0 else batches if workers else Ahead(batches)
    return DataLoader(
        whole,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_ignore_interrupts,
        persistent_workers=False,
        prefetch_factor=2 if workers else None,
    )


def _ignore_interrupts(worker: int) -> None:  # noqa: ARG001
    """Leave Ctrl-C, which reaches every process, to the main process, which still wants its batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
