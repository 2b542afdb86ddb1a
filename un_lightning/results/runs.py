"""Run folders: where a run lies, which one is the newest, which one can go on, and who holds it."""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from un_lightning.errors import UserError
from un_lightning.files import atomic_write, make_folder, reason
from un_lightning.terminal import warn


SUMMARY = "summary.json"
LATEST = "latest"
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)(?:-(\d+))?")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def experiment_folder(root: Path | str, name: str) -> Path:
    """The folder of an experiment's runs.

    Raises:
        UserError: The name is no folder name below `root`.
    """
    parts = name.split("/")
    if len(parts) > 2:
        raise UserError(f"name {name!r} has {len(parts)} levels, but two are the most: <group>/<name>")
    for part in parts:
        if not part.strip() or part in (".", "..", LATEST) or "\\" in part or not part.isprintable():
            raise UserError(f"name {name!r} is no name of an experiment: write it like tiny/universality")
    return Path(root, *parts)


def new_run_dir(root: Path | str, name: str) -> Path:
    """Make the folder of a new run.

    Args:
        root: The folder of all runs.
        name: Name of the experiment, at most two levels, such as `tiny/universality`.

    Returns:
        `<root>/<name>/<YYYY-MM-DD_HH-MM-SS>` in local time, with `-2`, `-3`, … if another run took it.

    Raises:
        UserError: The name is no folder name below `root`, or the folder cannot be made.
    """
    parent = experiment_folder(root, name)
    make_folder(parent)
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    for number in count(1):
        run_dir = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            run_dir.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"cannot make the folder {run_dir}: {reason(error)}") from error
        return run_dir
    raise AssertionError("unreachable: there is always another number")


def is_finished(run_dir: Path) -> bool:
    """Whether the run wrote its summary, which is the last file that a run writes."""
    return (run_dir / SUMMARY).is_file()


def unfinished_runs(root: Path | str, name: str) -> list[Path]:
    """Find the runs of an experiment that were interrupted and can go on.

    Args:
        root: The folder of all runs.
        name: Name of the experiment.

    Returns:
        The folders with a config and a partial state but no summary, newest first.

    Raises:
        UserError: The name is no folder name below `root`.
    """
    parent = experiment_folder(root, name)
    if not parent.is_dir():
        return []
    runs = [path for path in parent.iterdir() if _STAMP.fullmatch(path.name) and not path.is_symlink()]
    return [
        path
        for path in sorted(runs, key=_age, reverse=True)
        if (path / "config.yaml").is_file() and (path / "partial").is_dir() and not is_finished(path)
    ]


def mark_latest(run_dir: Path) -> None:
    """Point `latest`, beside the folder of a run that has just finished, at that folder.

    `latest` is a relative symbolic link, or where those cannot be made, a text file `latest.txt` with the
    folder's name. A folder that the user named, rather than `new_run_dir`, is not marked: what
    lies beside it is none of ours.

    Args:
        run_dir: The folder of a finished run.

    Raises:
        UserError: Neither the link nor the text file can be written.
        ValueError: The run is not finished.
    """
    if not is_finished(run_dir):
        raise ValueError(f"{run_dir} is not finished")
    if not _STAMP.fullmatch(run_dir.name):
        return
    temporary = run_dir.with_name(f".{LATEST}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.symlink_to(run_dir.name, target_is_directory=True)
        os.replace(temporary, run_dir.with_name(LATEST))
    except OSError:
        atomic_write(run_dir.with_name(f"{LATEST}.txt"), run_dir.name + "\n")
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def lock(run_dir: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder, so that no second run writes to it. Only global rank 0 of a run takes its folder.

    The kernel lets go of the lock when the process ends, however it ends.

    Args:
        run_dir: The folder; it must exist.
        wait: Wait for another holder to end instead of failing.

    Raises:
        UserError: Another run holds the folder, or it cannot be written to.
    """
    try:
        descriptor = os.open(run_dir / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"cannot write to the run folder {run_dir}: {reason(error)}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(
                f"another run is writing to {run_dir}: wait until it ends, or choose another run_dir"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise UserError(f"cannot lock {run_dir}: {reason(error)}") from error
            warn(f"the file system of {run_dir} has no locks: make sure that no second run writes to it")
        yield
    finally:
        os.close(descriptor)


def _age(run_dir: Path) -> tuple[str, int]:
    match = _STAMP.fullmatch(run_dir.name)
    assert match is not None
    return match[1], int(match[2] or 1)
