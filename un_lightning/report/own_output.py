"""Pages and sites replace only what an older page or site wrote, and nothing else that lies there."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from un_lightning.errors import CannotWriteError, UserError
from un_lightning.files import atomic_write, make_folder, reason


MARK = ".un-lightning-site.json"
"""Lies in every site, and lists the files that were written: what an older site is made of."""
GENERATOR = '<meta name="generator" content="un-lightning">'
"""Stands at the beginning of every page that is one file."""


def write_page(out: Path, page: str) -> None:
    """Write a page that is one file; an older one is replaced.

    Args:
        out: Where to.
        page: HTML with `GENERATOR` in its first 2,000 characters.

    Raises:
        UserError: Another file lies there, or it cannot be written.
    """
    assert GENERATOR in page[:2000]
    make_folder(out.parent)
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file by --out, such as {out / 'report.html'}")
    if out.exists():
        try:
            with out.open(encoding="utf-8", errors="replace") as file:
                ours = GENERATOR in file.read(2000)
        except OSError as error:
            raise UserError(f"cannot read {out}, which would be replaced: {reason(error)}") from error
        if not ours:
            raise UserError(f"{out} exists and is no page of un-lightning: choose another --out")
    atomic_write(out, page)


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Lend an empty folder, and put it in the place of an older site in the end.

    Args:
        out: The site; it must be empty, or hold nothing but what an older site wrote.

    Yields:
        The folder to write to.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    older = _files_of_older(out)
    make_folder(out.parent)
    try:
        new = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise CannotWriteError(f"cannot write {out}: {reason(error)}") from error
    try:
        yield new
        files = (path for path in new.rglob("*") if path.is_file())
        written = sorted(path.relative_to(new).as_posix() for path in files)
        atomic_write(new / MARK, json.dumps({"files": written}, indent=0))
        _replace(out, new, older)
    except OSError as error:
        raise CannotWriteError(f"cannot write {out}: {reason(error)}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _files_of_older(out: Path) -> list[Path]:
    """The files that an older site wrote into a folder.

    Raises:
        UserError: The folder holds something that no older site wrote.
    """
    if not out.exists():
        return []
    if not out.is_dir():
        raise UserError(f"{out} is a file: choose another --out")
    if not any(out.iterdir()):
        return []
    try:
        names = json.loads((out / MARK).read_text(encoding="utf-8"))["files"]
        paths = [out / name for name in names]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{out} is not empty, and no neuron pages were written there: choose another --out"
        ) from error
    if any(not path.resolve().is_relative_to(out.resolve()) for path in paths):
        raise UserError(f"{out / MARK} names files outside of {out}: choose another --out")
    own = {*paths, out / MARK}
    foreign = [path for path in out.rglob("*") if not path.is_dir() and path not in own]
    if foreign:
        raise UserError(
            f"{foreign[0]} lies among the neuron pages in {out} and is none of them: move it, or choose "
            "another --out"
        )
    return sorted(own)


def _replace(out: Path, new: Path, older: list[Path]) -> None:
    """Put a site in the place of an older one, of which only the files that it wrote are removed."""
    for path in older:
        path.unlink(missing_ok=True)
    for folder in sorted({path.parent for path in older if path.parent != out}, reverse=True):
        with suppress(OSError):
            folder.rmdir()
    if out.exists():
        out.rmdir()
    new.chmod(0o755)
    new.replace(out)
