"""A study: several runs, each carried out unless a finished one answers it, and what they found together.

Every part is a run of its own, with its own folder and record, under the name `<name>-<part>`.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from torch import distributed

from un_lightning.config import Config
from un_lightning.errors import UserError
from un_lightning.results import runs
from un_lightning.running import record
from un_lightning.running.record import Record
from un_lightning.running.reuse import finished_run
from un_lightning.terminal import say
from un_lightning.tracking.logger import is_global_zero


RunPass = Callable[[Config, dict[str, Any]], None]
"""Carries out one part, as `launch.run` does."""


class Part(NamedTuple):
    """One of the runs of a study."""

    config: Config
    plain: dict[str, Any]
    """The same as plain values."""
    near: tuple[Path, ...]
    """Where else than below the root the run may lie."""


def make_part(
    config: Config,
    plain: dict[str, Any],
    name: str,
    changes: Mapping[str, Any],
    plain_changes: Mapping[str, Any],
) -> Part:
    """A part of a study.

    Args:
        config: The config of the study.
        plain: The same as plain values.
        name: Of the part.
        changes: Keys of the config that are the part's own, its analysis among them.
        plain_changes: The same as plain values.
    """
    own: dict[str, Any] = {"name": f"{config.name}-{name}"}
    near: tuple[Path, ...] = ()
    if config.run_dir is not None:
        near = (Path(config.run_dir) / name,)
        own["run_dir"] = str(near[0])
    return Part(dataclasses.replace(config, **own, **changes), {**plain, **own, **plain_changes}, near)


def refuse_folder(config: Config) -> None:
    """Refuse to go on in a folder: each part has one of its own.

    Raises:
        UserError: `resume` names a folder.
    """
    if config.resume not in ("never", "auto"):
        raise UserError(
            f"{config.name} is several runs and goes on part by part: use resume=auto, not one folder"
        )


def carry_out(config: Config, part: Part, label: str, run: RunPass) -> Path:
    """Take the run that answers a part, or carry the part out.

    All ranks take the same run: the first one looks, once they are connected. Before that no rank can have
    finished a part that needs all of them.

    Args:
        config: The config of the study, whose analysis says whether finished runs may be taken (`reuse`).
        part: The part.
        label: What messages call it.
        run: Carries it out.

    Returns:
        The run folder, on every rank; they wait until the first has written it.

    Raises:
        UserError: As `run` does; or the part has no results in the end.
    """
    found = _from_first(lambda: _finished(config, part))
    if is_global_zero():
        say(f"{label}: " + (f"taken from {found}" if found else "to be run"))
    if found is not None:
        return found
    run(part.config, part.plain)
    look = lambda: finished_run(config.root, part.plain, *part.near)
    found = _from_first(look)
    # A report on tables connects nobody; ranks that something else has started wait for its file.
    patience = 0 if is_global_zero() or _connected() else 60 * config.trainer.timeout_minutes
    end = time.monotonic() + patience
    while found is None and time.monotonic() < end:
        time.sleep(0.5)
        found = look()
    if found is None:
        raise UserError(f"{label} has no results: its models or texts changed while it ran; run again")
    return found


def _from_first(look: Callable[[], Path | None]) -> Path | None:
    """What the first rank finds, where ranks are connected; where they are not, each looks for itself."""
    if not _connected():
        return look()
    found = [look() if is_global_zero() else None]
    distributed.broadcast_object_list(found)
    return found[0]


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def together(config: Config, plain: dict[str, Any]) -> AbstractContextManager[Record]:
    """The record of what all parts found; joining takes no time, so nothing is ever left of it to resume."""
    return record.begin(dataclasses.replace(config, resume="never"), plain, job_type=config.analysis.kind)


def _finished(config: Config, part: Part) -> Path | None:
    if not config.analysis.reuse:
        return next((folder for folder in part.near if runs.is_finished(folder)), None)
    return finished_run(config.root, part.plain, *part.near)
