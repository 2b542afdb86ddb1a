"""What surrounds every run: its folder, its lock, its config, its logger and its results."""

import dataclasses
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers import Logger

from un_lightning.config import Config
from un_lightning.errors import CannotWriteError, UserError
from un_lightning.files import atomic_write, make_folder
from un_lightning.redaction import redact, redact_argument
from un_lightning.results import runs
from un_lightning.results.results import Results
from un_lightning.results.versions import comment, versions
from un_lightning.terminal import say, show_results, warn
from un_lightning.tracking import logger as tracking


CONFIG = "config.yaml"
PARTIAL = "partial"

FreeKeys = dict[str, tuple[str, ...] | None]
"""Keys that two configs need not share: some keys of a group, or None for the whole key."""

FREE_TO_RESUME: FreeKeys = {
    "run_dir": None,
    "root": None,
    "resume": None,
    "logger": None,
    "trainer": ("threads", "save_minutes", "report_minutes", "timeout_minutes"),
    "data": ("workers", "store"),
}
"""What a resumed run may change, because it does not change what is computed."""

_ended: ContextVar[list[Path] | None] = ContextVar("ended", default=None)


@contextmanager
def concluded() -> Iterator[list[Path]]:
    """Collect the folders of runs that end in the meantime; a study's own comes after those of its parts."""
    folders: list[Path] = []
    token = _ended.set(folders)
    try:
        yield folders
    finally:
        _ended.reset(token)


@dataclass
class Record:
    """A run that has begun; `folder` is None on ranks other than 0, which write nothing here."""

    folder: Path | None
    logger: Logger | None
    resumed: bool
    started: float

    def conclude(self, results: Results, tokens: int) -> None:
        """Write the results, log them, point `latest` at the run and show the short table."""
        if self.folder is None:
            return
        results.scalars["versions"] = versions()
        results.write(self.folder)
        runs.mark_latest(self.folder)
        ended = _ended.get()
        if ended is not None:
            ended.append(self.folder)
        show_results(results.headline, self.folder, time.monotonic() - self.started)
        try:
            tracking.log_results(self.logger, results, tokens)
        except Exception as error:  # the results are complete: whatever a server answers cannot undo that
            warn(f"the record outside the run folder may be incomplete: {type(error).__name__}: {error}")


@contextmanager
def begin(config: Config, plain: dict[str, Any], job_type: str) -> Iterator[Record]:
    """Open the folder of a new or resumed run on rank 0; close its logger whatever happens.

    Raises:
        UserError: The folder is in use or cannot be written, or `resume` names no run of this config.
    """
    if not tracking.is_global_zero():
        yield Record(None, None, False, time.monotonic())
        return
    started = time.monotonic()
    with ExitStack() as stack:
        made = config.run_dir is None or not Path(config.run_dir).exists()
        folder, resumed = _folder(config, plain)
        stack.enter_context(runs.lock(folder))
        if not resumed:
            stack.enter_context(_undone_by_mistakes(folder, made))
            atomic_write(folder / CONFIG, comment() + yaml.safe_dump(redact(plain), sort_keys=False))
        notes = config.logger.notes or f"repeat: {command_line()}"
        logger = tracking.make_logger(
            dataclasses.replace(config.logger, notes=notes),
            folder,
            group=config.name,
            job_type=job_type,
            name=f"{config.name}/{folder.name}",
            run_config=plain,
        )
        code = 1
        try:
            yield Record(folder, logger, resumed, started)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            raise
        except UserError as error:
            code = 2
            if isinstance(error, CannotWriteError) and (folder / PARTIAL).exists():
                raise UserError(f"{error}\nFree some space, then go on with resume={folder}") from error
            raise
        finally:
            tracking.finish(logger, code)


@contextmanager
def _undone_by_mistakes(folder: Path, made: bool) -> Iterator[None]:
    """Leave nothing of a run that ends by a mistake before it has read anything.

    Args:
        folder: The run folder.
        made: Whether this run made the folder; another's is only freed for another try.
    """
    try:
        yield
    except UserError:
        if not (folder / PARTIAL).exists():
            if made:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                (folder / CONFIG).unlink(missing_ok=True)
        raise


def _folder(config: Config, plain: dict[str, Any]) -> tuple[Path, bool]:
    """The run's folder, and whether it is one to go on with."""
    if config.resume == "never":
        if config.run_dir is None:
            return runs.new_run_dir(config.root, config.name), False
        folder = Path(config.run_dir)
        if runs.is_finished(folder) or (folder / CONFIG).exists():
            raise UserError(f"run_dir={folder} holds a run already: choose another, or resume={folder}")
        foreign = [name for name in (PARTIAL, "tables", "figures") if (folder / name).exists()]
        if foreign:
            raise UserError(
                f"run_dir={folder} holds a folder '{foreign[0]}' that is of no run: choose another run_dir"
            )
        make_folder(folder)
        return folder, False
    if config.resume == "auto":
        candidates = (
            runs.unfinished_runs(config.root, config.name)
            if config.run_dir is None
            else [path for path in [Path(config.run_dir)] if (path / CONFIG).exists()]
        )
        if config.run_dir is not None and any(runs.is_finished(path) for path in candidates):
            raise UserError(f"run_dir={config.run_dir} holds a finished run: choose another")
        if not candidates:
            say(f"no unfinished run of {config.name}: starting a new one")
            make = config.run_dir is None
            folder = runs.new_run_dir(config.root, config.name) if make else Path(str(config.run_dir))
            make_folder(folder)
            return folder, False
        same = [path for path in candidates if not differences(path, plain)]
        chosen = (same or candidates)[0]
    else:
        chosen = Path(config.resume)
        if not (chosen / CONFIG).exists():
            raise UserError(f"resume={chosen}: no run lies there (never, auto or the folder of a run)")
        if runs.is_finished(chosen):
            raise UserError(f"resume={chosen}: that run is finished")
    changed = differences(chosen, plain)
    if changed:
        raise UserError(
            f"{chosen} was begun with another config and cannot go on with this one:\n  "
            + "\n  ".join(changed)
            + "\nRepeat its settings, or start anew with resume=never."
        )
    say(f"going on with {chosen}")
    return chosen, True


def differences(folder: Path, plain: dict[str, Any], free: FreeKeys = FREE_TO_RESUME) -> list[str]:
    """Keys that the run in `folder` was begun with at other values, as `key: old -> new`.

    Args:
        folder: The run folder.
        plain: A config as plain values.
        free: Keys that may differ.
    """
    old = _flat(_relevant(yaml.safe_load((folder / CONFIG).read_text()), free))
    new = _flat(_relevant(redact(plain), free))
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _relevant(config: dict[str, Any], free: FreeKeys) -> dict[str, Any]:
    kept = {}
    for key, value in config.items():
        some = free.get(key, ())
        if some is None:
            continue
        kept[key] = {k: v for k, v in value.items() if k not in some} if isinstance(value, dict) else value
    return kept


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in _flat(item, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): value}


def clear_partial(folder: Path) -> None:
    """Remove what is only needed to go on."""
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


def command_line() -> str:
    """The command that repeats this run, for its notes, without secrets."""
    arguments = shlex.join(redact_argument(argument) for argument in sys.argv[1:])
    program = Path(sys.argv[0])
    start = f"python {Path(*program.parts[-2:])}" if program.suffix == ".py" else program.name
    return f"{start} {arguments}".strip()
