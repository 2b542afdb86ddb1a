"""A run on one device is alone, whatever variables of a cluster its shell has inherited."""

import os
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from un_lightning.config import TrainerConfig
from un_lightning.terminal import warn


HARMLESS = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "NODE_RANK": "0",
    "GROUP_RANK": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "JSM_NAMESPACE_RANK": "0",
    "WORLD_SIZE": "1",
    "SLURM_NTASKS": "1",
}
"""What Lightning and this project read a rank or a number of ranks from, and its value for a run of one."""


def ignore_stray_ranks(config: TrainerConfig) -> None:
    """Forget inherited rank variables where one device is asked for, and say so if they matter.

    An interactive shell of a cluster, or a script inside of one, leaves them behind. A process that took
    itself for rank 3 of a run of one would write nothing and say nothing.

    Args:
        config: Devices and nodes of the run; with more than one of them the variables are left as they are.
    """
    if config.devices * config.nodes > 1:
        return
    found = {name: os.environ.pop(name) for name in HARMLESS if name in os.environ}
    lightning: Any = rank_zero_only
    lightning.rank = 0  # Lightning has read them when it was imported
    telling = {name: value for name, value in found.items() if value != HARMLESS[name]}
    if telling:
        shown = ", ".join(f"{name}={value}" for name, value in telling.items())
        warn(f"{shown} is ignored: this run has one device (trainer=ddp or slurm makes it part of many)")
