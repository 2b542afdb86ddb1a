"""The record of a run outside its folder: Weights & Biases, a CSV file, or nothing."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from un_lightning.config import LoggerConfig, LoggerKind
from un_lightning.files import make_folder
from un_lightning.redaction import redact
from un_lightning.results.results import Results
from un_lightning.tracking import record as wandb_record


__all__ = ["finish", "is_global_zero", "log_results", "make_logger", "redact"]


def make_logger(
    config: LoggerConfig, run_dir: Path, *, group: str, job_type: str, name: str, run_config: dict[str, Any]
) -> Logger | None:
    """Start the record of a run. Call it on every rank: only global rank 0 writes anything.

    Where nobody is logged in to W&B and the config leaves the choice open, the run is recorded offline, and
    one line says so and how to upload it later. That is decided without the network. `WANDB_MODE` counts
    where `logger.mode` is auto, as W&B itself prefers an argument to the environment.

    Args:
        config: What kind of record.
        run_dir: The run folder; the record lies in `wandb/` or `csv/` below it.
        group: The experiment.
        job_type: The analysis or training.
        name: How the run is called.
        run_config: The whole config; secrets are masked before it is recorded.

    Returns:
        A Lightning logger, or None if there is no record.

    Raises:
        UserError: W&B does not start, or nobody is logged in and the config demands a record online.
    """
    make_folder(run_dir)
    if config.kind is LoggerKind.csv:
        logger = CSVLogger(save_dir=run_dir, name="", version="csv")
        logger.log_hyperparams(redact(run_config))
        return logger
    if config.kind is LoggerKind.none or wandb_record.is_disabled(config.mode):
        return None
    if not is_global_zero():
        return WandbLogger(save_dir=run_dir, project=config.project)  # its run is a dummy on these ranks
    run = wandb_record.start(
        config, run_dir, group=group, job_type=job_type, name=name, run_config=redact(run_config)
    )
    return WandbLogger(experiment=run, save_dir=run_dir, project=config.project)


def log_results(logger: Logger | None, results: Results, tokens: int) -> None:
    """Record what was found, once it is written to the run folder. Ranks other than 0 do nothing.

    Scalars become a point at x = `tokens` and, in W&B, the summary. W&B also gets every figure, the first
    10,000 rows of every table, a histogram of every property of the neurons, all files of tables and the
    summary as one artifact of type `results`, a trained model or tokenizer as another, and the runs that this
    one has read as its inputs.

    Args:
        logger: What `make_logger` returned.
        results: What was found; `Results.write` must have written it to the run folder.
        tokens: Tokens that the run read.

    Raises:
        FileNotFoundError: The results are not in the run folder.
    """
    if logger is None or not is_global_zero():
        return
    if isinstance(logger, WandbLogger):
        assert logger.save_dir is not None
        wandb_record.log(logger.experiment, Path(logger.save_dir), results, tokens)
    else:
        logger.log_metrics({**results.numbers(), wandb_record.AXIS: tokens}, step=tokens)
        logger.save()


def finish(logger: Logger | None, exit_code: int) -> None:
    """Close the record with the exit code of the run: 0 if it succeeded.

    Args:
        logger: What `make_logger` returned.
        exit_code: What the process will return.
    """
    if logger is None or not is_global_zero():
        return
    if isinstance(logger, WandbLogger):
        wandb_record.finish(logger.experiment, exit_code)
    else:
        logger.finalize("success" if exit_code == 0 else "failed")


def is_global_zero() -> bool:
    """Whether this process is rank 0 of all nodes; before the Trainer exists, only the environment tells."""
    node = int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
    return getattr(rank_zero_only, "rank", 0) == 0 and node == 0
