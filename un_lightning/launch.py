"""A checked config becomes a run: models, data, analysis, trainer, results."""

import functools
from typing import Any

from un_lightning import record
from un_lightning.config import Config
from un_lightning.errors import UserError
from un_lightning.terminal import say


def train(config: Config, plain: dict[str, Any]) -> None:
    """Train a small model or a tokenizer.

    Raises:
        UserError: The config names no training, or its data or tokenizer are not to be had.
    """
    if config.training is None:
        raise UserError(f"experiment {config.name} trains nothing: choose training=language_model or tokenizer")
    from un_lightning.lightning import make_trainer
    from un_lightning.training.train import run_training

    with record.begin(config, plain, job_type=f"train-{config.training.kind}") as current:
        trainer = functools.partial(make_trainer, config.trainer, current.logger, current.folder)
        results = run_training(config, current.folder, trainer, current.resumed)
        current.conclude(results, int(results.scalars.get("tokens", 0)))
        record.clear_partial(current.folder)
