"""Hashes of what a run wrote, so that a file that changed since is not taken for a result."""

import json
from collections.abc import Collection
from pathlib import Path

import xxhash

from un_lightning.errors import UserError
from un_lightning.files import atomic_write, reason


CHECKSUMS = "checksums.json"


def write_checksums(folder: Path, names: list[str], texts: dict[str, str]) -> None:
    """Write the hashes of files of a run folder.

    Args:
        folder: The run folder.
        names: Files that lie there, such as `tables/neurons.parquet`.
        texts: Files that are still to be written, and what they will hold.

    Raises:
        UserError: A file cannot be read, or the hashes cannot be written.
    """
    sums = {name: _hash(folder / name) for name in names}
    sums |= {name: xxhash.xxh3_128_hexdigest(text.encode()) for name, text in texts.items()}
    atomic_write(folder / CHECKSUMS, json.dumps({"xxh3_128": sums}, indent=1) + "\n")


def verify(folder: Path, names: Collection[str] | None = None) -> None:
    """Compare a run folder with the hashes that it carries; one without any, of an older run, passes.

    Args:
        folder: Of a finished run.
        names: Files to compare, such as `tables/neurons.parquet`; None compares all.

    Raises:
        UserError: A file is missing or is not what the run wrote.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return
    try:
        sums = json.loads(path.read_text(encoding="utf-8"))["xxh3_128"]
        pairs = [(str(name), str(wanted)) for name, wanted in sums.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged: remove it if you trust the results beside it") from error
    for name, wanted in pairs:
        if (names is None or name in names) and _hash(folder / name) != wanted:
            raise UserError(
                f"{folder / name} is not what the run wrote (its hash differs): repeat the run, or remove "
                f"{path} if the change was meant"
            )


def _hash(path: Path) -> str:
    found = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                found.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}, which the run wrote: {reason(error)}") from error
    return found.hexdigest()
