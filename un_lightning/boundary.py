"""How a command ends that cannot go on: one sentence for what is known, and for a bug how to report it."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from un_lightning.config import registry
from un_lightning.errors import UserError
from un_lightning.terminal import fail


FLAG = "--traceback"
VARIABLE = "UN_LIGHTNING_TRACEBACK"

_LOST = ("DistBackendError", "DistNetworkError", "DistStoreError")
"""Errors of torch.distributed; gloo's own are plain ones."""


@contextmanager
def asked_for_tracebacks(argv: list[str]) -> Iterator[list[str]]:
    """The arguments without `--traceback`, which holds inside, for the processes begun there too."""
    before = os.environ.get(VARIABLE)
    if FLAG in argv:
        os.environ[VARIABLE] = "1"
    try:
        yield [word for word in argv if word != FLAG]
    finally:
        if FLAG in argv:
            _restore(before)


@contextmanager
def boundary() -> Iterator[None]:
    """Turn whatever ends a command into a message and an exit code.

    2 for what the user can mend, 130 for an interruption, 1 for a bug and for a rank that lost the others.
    `HYDRA_FULL_ERROR=1` leaves errors other than `UserError` alone.

    Raises:
        SystemExit: With that code.
    """
    try:
        yield
    except UserError as error:
        _say(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        if os.environ.get(VARIABLE):
            traceback.print_exc()
        known = _known(error)
        if known is not None:
            _say(known)
            sys.exit(2)
        _say(_lost(error) or _bug(error))
        sys.exit(1)


def _say(message: str) -> None:
    rank = os.environ.get("LOCAL_RANK", "0")
    fail(message if rank == "0" else f"(rank {rank}) {message}")


def _known(error: Exception) -> str | None:
    """What the user can mend about an error of Python, the system or torch, which is not imported for it."""
    if type(error).__name__ == "OutOfMemoryError":
        return (
            f"the device's memory is full: set data.batch_size or analysis.memory_gb lower ({_first(error)})"
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate" in str(error):
        return "the machine's memory is full: set data.batch_size or analysis.memory_gb lower"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{_at(error)}: free some space, then begin again or go on with resume=auto"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.strerror or 'not permitted'}{_at(error)}: choose a place that you may use"
    return None


def _lost(error: Exception) -> str | None:
    """Another rank's end, as the ranks see it that wait for it."""
    if type(error).__name__ in _LOST or (isinstance(error, RuntimeError) and "/gloo/" in str(error)):
        return f"another rank has ended, or cannot be reached; what it says tells why ({_first(error)})"
    return None


def _bug(error: Exception) -> str:
    """One sentence that names whose bug it is, and where."""
    modules = [
        (str(frame.f_globals.get("__name__", "")), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    guests = {
        package.module.partition(".")[0]: package.release
        for package in map(registry.package, registry.kinds())
        if package is not None
    }
    whose, place = "un-lightning", ""
    for name, line in modules:
        outermost = name.partition(".")[0]
        if outermost == "un_lightning" or outermost in guests:
            whose, place = guests.get(outermost, "un-lightning"), f", in {name}, line {line}"
    what = f"{type(error).__name__}: {_first(error)}" if _first(error) else type(error).__name__
    shown = bool(os.environ.get(VARIABLE))
    advice = "report it with what stands above" if shown else f"run again with {FLAG} and report it"
    return f"this is a bug in {whose} ({what}{place}): {advice}"


def _first(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def _at(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = before
