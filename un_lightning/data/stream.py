"""What the pass of an analysis walks over, as the loop, the progress bar and the summary see it."""

from abc import abstractmethod
from typing import Any

import pytorch_lightning as pl


class Stream(pl.LightningDataModule):
    """Batches that are shared out over the ranks by arithmetic, each with a `count` of what it holds.

    Attributes:
        start: Batches of each rank that a resumed run has behind it.
    """

    unit = "tokens"
    """What the progress bar counts."""

    def __init__(self) -> None:
        super().__init__()
        self.start = 0

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

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the summary says about the data; `tokens` among it."""
