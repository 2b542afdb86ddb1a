"""What an interrupted run leaves behind, so that it can go on: one pair of files a rank.

A rank writes its tensors to a new file, then a small JSON that names the file and says how many batches
are in it, then removes the old tensors. Whenever a process dies, the JSON names a whole file. Ranks save
by themselves, without waiting for each other: sums commute, so they may be at different batches.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from un_lightning.errors import CannotWriteError, UserError
from un_lightning.files import atomic_path, atomic_write, make_folder


KNOWN = "known.safetensors"


class Partial(NamedTuple):
    """The state of one rank."""

    position: int
    """Batches of this rank that are in the tensors."""
    counted: int
    """Counted tokens in them."""
    text: str
    """Fingerprint of what was read."""
    tensors: dict[str, Tensor]
    number: int = 0
    """Which pass over the stream it is in, from 0."""


def save_partial(folder: Path, rank: int, world: int, state: Partial) -> None:
    """Replace the saved state of a rank in its pass; that of an earlier pass stays until `forget_before`.

    Raises:
        UserError: The disk is full or the folder cannot be written; the older state is still whole.
    """
    folder = _of_pass(folder, state.number)
    make_folder(folder)
    path = folder / f"rank{rank}-{state.position}.safetensors"
    _save(state.tensors, path)
    meta = {
        "file": path.name,
        "position": state.position,
        "counted": state.counted,
        "text": state.text,
        "world": world,
    }
    atomic_write(folder / f"rank{rank}.json", json.dumps(meta))
    for old in folder.glob(f"rank{rank}-*.safetensors"):
        if old != path:
            old.unlink(missing_ok=True)


def load_partial(folder: Path, rank: int, world: int, text: str) -> Partial | None:
    """The saved state of a rank; None if it saved nothing yet.

    Args:
        folder: Where the run keeps its state.
        rank: The rank.
        world: Ranks of the run that goes on.
        text: Fingerprint of what that run reads.

    Raises:
        UserError: It was saved by another number of ranks or over other text, or is damaged.
    """
    run, number = folder.parent, _latest_pass(folder)
    folder = _of_pass(folder, number)
    metas = {path.stem: _read_meta(path) for path in folder.glob("rank*.json")}
    for meta in metas.values():
        if meta["world"] != world:
            raise UserError(
                f"{run} was begun by {meta['world']} processes and cannot go on with {world}: "
                "use as many devices and nodes as before, or start anew with resume=never"
            )
        if meta["text"] != text:
            raise UserError(
                f"{run} was begun on other text: the data has changed since, so start anew with resume=never"
            )
    if f"rank{rank}" not in metas:
        return None
    own = metas[f"rank{rank}"]
    return Partial(own["position"], own["counted"], own["text"], load_tensors(folder / own["file"]), number)


def forget_before(folder: Path, number: int) -> None:
    """Remove what was saved in earlier passes, once every rank has saved in pass `number`."""
    for earlier in range(number):
        shutil.rmtree(_of_pass(folder, earlier), ignore_errors=True)


def save_known(folder: Path, known: dict[str, Tensor]) -> None:
    """Keep what all ranks agreed on before the first batch."""
    make_folder(folder)
    _save(known, folder / KNOWN)


def load_known(folder: Path) -> dict[str, Tensor] | None:
    """What all ranks had agreed on; None if nothing was saved."""
    return load_tensors(folder / KNOWN) if (folder / KNOWN).exists() else None


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}; start anew with resume=never") from error


def _of_pass(folder: Path, number: int) -> Path:
    return folder / f"pass{number}"


def _latest_pass(folder: Path) -> int:
    """The last pass that every rank had begun: one that saved may have been ahead of one that did not."""
    complete = 0
    for place in folder.glob("pass*"):
        metas = list(place.glob("rank*.json"))
        if metas and len(metas) == _read_meta(metas[0])["world"]:
            complete = max(complete, int(place.name.removeprefix("pass")))
    return complete


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text())
        return {name: meta[name] for name in ("file", "position", "counted", "text", "world")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; start anew with resume=never") from error


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
    except SafetensorError as error:  # how safetensors says that the disk is full
        raise CannotWriteError(f"cannot write {path}: {error}") from error
