"""Where a rank stands: which share of the batches it reads, and which rows of the products it keeps."""

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch.distributed

from un_lightning.config import Split
from un_lightning.stats.statistic import AllReduce


def devices_of(trainer: pl.Trainer, split: Split) -> int:
    """Devices that read the same batches and keep different rows."""
    return trainer.num_devices if split is Split.rows else 1


@dataclass(frozen=True)
class Node:
    """A rank among ranks, of which some read the same batches."""

    device: int
    """Which of the devices that read the same batches; always 0 where every rank reads its own."""
    devices: int
    """Devices that read the same batches."""
    share: int
    """Which share of the batches."""
    shares: int
    peers: Any = None
    """The process group of the ranks with the same rows, one in each share; None for all ranks."""

    @classmethod
    def of(cls, trainer: pl.Trainer, split: Split) -> "Node":
        """Where this process stands; every rank must ask, and as often as the others."""
        rank, world = trainer.global_rank, trainer.world_size
        devices = devices_of(trainer, split)
        device, share = rank % devices, rank // devices
        peers = None
        if 1 < devices < world:
            # Unless told, torch lets such a group wait for ten minutes, however long the others may take.
            patience = getattr(trainer.strategy, "_timeout", None)
            groups = [
                torch.distributed.new_group(list(range(first, world, devices)), timeout=patience)
                for first in range(devices)
            ]
            peers = groups[device]
        return cls(device, devices, share, world // devices, peers)

    @property
    def reports(self) -> bool:
        """Whether this rank looks at its products once they are merged; the others hold copies."""
        return self.share == 0

    def among_shares(self, reduce: AllReduce) -> AllReduce:
        """What merges rows that only the ranks of the other shares have, too."""
        if self.shares == 1:
            return lambda tensor, operation: None  # noqa: ARG005
        if self.peers is None:
            return reduce
        operations = {
            "sum": torch.distributed.ReduceOp.SUM,
            "min": torch.distributed.ReduceOp.MIN,
            "max": torch.distributed.ReduceOp.MAX,
        }
        return lambda tensor, operation: torch.distributed.all_reduce(
            tensor, operations[operation], group=self.peers
        )
