"""The one place where a Lightning Trainer is made."""

import os
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from un_lightning.config import Strategy, TrainerConfig
from un_lightning.errors import UserError
from un_lightning.memory import keep_freed_memory


def make_trainer(
    config: TrainerConfig, logger: Logger | None, root: Path | None, **options: Any
) -> pl.Trainer:
    """A Trainer for one pass over the data, with everything off that this project does itself.

    Raises:
        UserError: The machine lacks the accelerator or the devices that the config names.
    """
    _quiet_lightning()
    _share_threads(config)
    keep_freed_memory()
    strategy: Any = "auto"
    if config.strategy is Strategy.ddp:
        strategy = DDPStrategy(timeout=timedelta(minutes=config.timeout_minutes))
    settings: dict[str, Any] = {
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    try:
        return pl.Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=strategy,
            logger=logger or False,
            default_root_dir=root,
            **(settings | options),
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise UserError(
            f"trainer.accelerator={config.accelerator} with {config.devices} device(s) does not start: "
            f"{error} (trainer=auto takes what this machine has)"
        ) from error


def _share_threads(config: TrainerConfig) -> None:
    """Give each CPU process its part of the cores: more threads than cores slow all of them down."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    elif config.strategy is Strategy.ddp and config.accelerator == "cpu":
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // config.devices))


def _quiet_lightning() -> None:
    """Hide advice that does not apply: models are frozen, and loaders are ours."""
    import logging

    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.accelerators.cuda").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.distributed").setLevel(logging.WARNING)
    # The last one is torch's advice to Lightning, which follows it some day.
    for message in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*srun.*",
        ".*LeafSpec",
    ):
        warnings.filterwarnings("ignore", message=message)


def seed(value: int) -> None:
    """Seed Python, NumPy and torch."""
    pl.seed_everything(value, verbose=False)
