"""Files that appear whole or not at all, whatever happens while they are written."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from un_lightning.errors import CannotWriteError


def reason(error: OSError) -> str:
    """The cause of a file error in a few words, without the path that the caller names itself."""
    return error.strerror or str(error) or type(error).__name__


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Lend a temporary path to a library that writes a file, and rename the file to `path` in the end.

    The temporary file lies in the folder of `path`, so that the rename is atomic, and carries a name that
    no `*.parquet` or `*.png` matches. It is removed if anything goes wrong, and an older file at `path`
    stays as it was. After a return the data is on the disk, not only in its cache.

    Args:
        path: Where the file shall be; its folder must exist.

    Yields:
        The path to write to. It ends in `.tmp`, so a library that guesses formats must be told.

    Raises:
        CannotWriteError: The file cannot be written (full disk, read-only folder, no such folder).
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {reason(error)}") from error
    finally:
        # After the rename there is nothing left to remove; a folder that vanished has nothing either.
        with suppress(OSError):
            temporary.unlink()
    with suppress(OSError):  # some network file systems cannot flush a folder
        _flush(path.parent)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write `data` to `path`, whole or not at all.

    Args:
        path: Where the file shall be; its folder must exist.
        data: The content; text is encoded as UTF-8.

    Raises:
        CannotWriteError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; one that exists already is left as it is.

    Raises:
        CannotWriteError: The folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(f"cannot make the folder {path}: {reason(error)}") from error


def _flush(path: Path) -> None:
    """Wait until the disk holds what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
