"""The Weights & Biases run of a run: whether it is online, how it starts, what is logged, how it ends.

Its files lie in the run folder, and a run that is resumed continues the same W&B run. W&B is imported only
where it is used.
"""

import json
import os
import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from un_lightning.config import LoggerConfig, WandbMode
from un_lightning.errors import UserError
from un_lightning.files import atomic_write
from un_lightning.redaction import redacted_arguments
from un_lightning.results.results import Results, figure_path, plain, table_path
from un_lightning.results.runs import SUMMARY
from un_lightning.terminal import say, warn
from un_lightning.tracking.artifacts import RUN_ID, log_artifacts, sources, staging_in, use
from un_lightning.tracking.server import logged_in, why_unreachable


if TYPE_CHECKING:
    import wandb

AXIS = "tokens"
"""The x-axis of every curve."""
MAX_ROWS = 10_000
"""Rows of a `wandb.Table`, the most that W&B shows; the artifact holds all of them."""
BINS = 64
"""Bins of a neuron property's histogram."""
KEYS = ("layer", "neuron")
"""Numbers of a table of neurons that are no properties."""
_MODES = {"run": "online", "dryrun": "offline"}  # W&B's old words


def is_disabled(mode: WandbMode) -> bool:
    """Whether `WANDB_MODE=disabled` forbids the record that the config leaves open."""
    return _requested(mode) == "disabled"


def start(
    config: LoggerConfig, run_dir: Path, *, group: str, job_type: str, name: str, run_config: dict[str, Any]
) -> "wandb.Run":
    """Start the W&B run of a run folder, or continue the one that the folder already has.

    Args:
        config: Project, entity, mode, tags and notes.
        run_dir: The run folder, which must exist; the record lies in `wandb/` below it.
        group: The experiment; `WANDB_RUN_GROUP`, which a sweep without a server sets, goes before.
        job_type: The analysis or training.
        name: How the run is called.
        run_config: The whole config, without secrets.

    Returns:
        The run, with `tokens` as its x-axis.

    Raises:
        UserError: W&B does not start, or nobody is logged in and the mode is online.
    """
    import wandb

    run_dir = run_dir.resolve()  # W&B notes the paths of what it uploads later, perhaps from elsewhere
    offline, why = _offline(config.mode)
    try:
        with redacted_arguments():  # W&B takes down the command line
            run = wandb.init(
                project=config.project,
                entity=config.entity,
                group=os.environ.get("WANDB_RUN_GROUP") or group,
                job_type=job_type,
                name=name,
                tags=config.tags,
                notes=config.notes,
                config=run_config,
                id=_run_id(run_dir),
                resume="allow",
                dir=run_dir,
                mode="offline" if offline else "online",
                reinit="finish_previous",
                settings=wandb.Settings(console="off", x_disable_stats=offline, silent=offline),
            )
    except wandb.Error as error:
        raise UserError(f"W&B does not start: {error} (logger.mode=offline needs no server)") from error
    if offline and config.mode is WandbMode.auto:
        folder = shlex.quote(str(run_dir / "wandb"))
        say(f"W&B: {why}, so the run is recorded offline; upload it with: wandb sync {folder}/offline-run-*")
    run.define_metric(AXIS)
    run.define_metric("*", step_metric=AXIS)
    return run


def log(run: "wandb.Run", run_dir: Path, results: Results, tokens: int) -> None:
    """Log results that are already written to the run folder.

    Args:
        run: The run.
        run_dir: The run folder.
        results: What was found.
        tokens: Tokens that the run read, the x of the point.

    Raises:
        FileNotFoundError: The results are not in the run folder.
    """
    import wandb

    run_dir = run_dir.resolve()
    files = [table_path(run_dir, name) for name in results.tables]
    figures = {name: figure_path(run_dir, name) for name in results.figures}
    for path in (run_dir / SUMMARY, *files, *figures.values()):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: results are written first, then logged")
    point: dict[str, Any] = dict(results.numbers())
    for name, path in figures.items():
        point[f"figures/{name}"] = wandb.Image(str(path))
    pages = (dict(run.config).get("logger") or {}).get("pages")
    for name, table in results.tables.items():
        head = linked(table.head(MAX_ROWS), pages).astype(object)
        # Lists of rows take a third of the time that W&B needs for the frame itself.
        rows: list[Any] = [
            [_cell(value) for value in row] for row in head.where(head.notna(), None).to_numpy()
        ]
        point[table_key(name, len(table))] = wandb.Table(columns=[*map(str, head.columns)], data=rows)
    point |= histograms(results)
    with staging_in(run_dir):
        run.log({**point, AXIS: tokens})
        log_artifacts(run, run_dir, files)
    run.summary.update(plain(results.scalars))
    use(run, sources([dict(run.config), results.scalars], run_dir))


def linked(table: pd.DataFrame, pages: str | None) -> pd.DataFrame:
    """A table of neurons with the address of each neuron's page in front; any other table as it is.

    Args:
        table: Rows of neurons have `model`, `layer` and `neuron`.
        pages: Address at which the pages are served; None where they are not.
    """
    if not pages or not {"model", *KEYS} <= {*table.columns}:
        return table
    names = zip(table["model"], table["layer"], table["neuron"], strict=True)
    page = [f"{pages}#/{quote(str(model), safe='')}/L{layer}.{neuron}" for model, layer, neuron in names]
    return pd.concat([pd.Series(page, index=table.index, name="page"), table], axis=1)


def histograms(results: Results) -> "dict[str, wandb.Histogram]":
    """The distribution of every property of the neurons, of the reference model's where there are several.

    Args:
        results: What was found; a table `neurons` has one row a neuron.
    """
    import wandb

    table = results.tables.get("neurons")
    if table is None:
        return {}
    if "model" in table and results.scalars.get("reference") in set(table["model"]):
        table = table[table["model"] == results.scalars["reference"]]
    found = {}
    for name, column in table.items():
        if name in KEYS or not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        values = column.to_numpy(float, na_value=np.nan)
        values = values[np.isfinite(values)]
        if len(values) and values.min() < values.max():
            counts = np.histogram(values, bins=BINS)
            found[f"histograms/{name}"] = wandb.Histogram(np_histogram=counts)
    return found


def table_key(name: str, rows: int) -> str:
    """What a table is called in W&B, which says so where it shows only the first rows."""
    return f"tables/{name}" if rows <= MAX_ROWS else f"tables/{name}_first_{MAX_ROWS}_of_{rows}"


def _cell(value: Any) -> Any:
    """Arrays as text, for W&B takes them only where all of a column have one shape."""
    return json.dumps(value.tolist()) if isinstance(value, np.ndarray) else value


def finish(run: "wandb.Run", exit_code: int) -> None:
    """End the run; a record that cannot be completed is a warning, since the run folder has everything."""
    import wandb

    try:
        run.finish(exit_code=exit_code)
    except wandb.Error as error:
        warn(f"the W&B record may be incomplete: {error}")


def _offline(mode: WandbMode) -> tuple[bool, str]:
    """Whether a run is recorded offline, and why where the config leaves it open.

    Raises:
        UserError: It must be online, and nobody is logged in or the server does not answer.
    """
    requested = _requested(mode)
    if requested == "offline" or (requested == "auto" and not logged_in()):
        word = os.environ.get("WANDB_MODE")
        return True, f"WANDB_MODE is {word}" if word else "not logged in"
    if not logged_in():
        raise UserError("nobody is logged in to W&B: run `wandb login`, or set logger.mode=offline")
    unreachable = why_unreachable()
    if unreachable is not None and requested == "online":
        raise UserError(f"W&B does not start: {unreachable} (logger.mode=offline needs no server)")
    return unreachable is not None, unreachable or ""


def _requested(mode: WandbMode) -> str:
    """The mode that config and environment ask for: auto, online, offline or disabled."""
    if mode is not WandbMode.auto:
        return mode.value
    word = os.environ.get("WANDB_MODE", "").lower() or "auto"
    word = _MODES.get(word, word)
    if word not in ("auto", "online", "offline", "disabled"):
        raise UserError(f"WANDB_MODE is '{word}', allowed are online, offline, disabled")
    return word


def _run_id(run_dir: Path) -> str:
    """The W&B id of a run folder, made once; an agent of a sweep brings its own."""
    path = run_dir / RUN_ID
    if not path.is_file():
        atomic_write(path, os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))
    return path.read_text(encoding="utf-8").strip()
