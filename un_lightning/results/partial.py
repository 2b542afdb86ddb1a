"""What an interrupted run leaves behind, so that it can go on: one pair of files a rank.

A rank writes its tensors to a new file, then a small JSON that names the file and says how many batches
are in it, then removes the old tensors. Whenever a process dies, the JSON names a whole file. Ranks save
by themselves, without waiting for each other: sums commute, so they may be at different batches.

A file of tensors carries a hash of what it holds, and the JSON says from what it was made (weights,
tokenizer, text, version), so that sums of two models or of two texts are never mixed.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from un_lightning.digest import digest
from un_lightning.errors import CannotWriteError, UserError
from un_lightning.files import atomic_path, atomic_write, make_folder


KNOWN = "known.safetensors"

ORIGIN = {
    "version": "by another version of un-lightning ({old}, this is {new})",
    "package": "by another version of the package that brings the analysis ({old}, this is {new})",
    "models": "with other weights: the files of a model have changed since",
    "tokenizer": "with another tokenizer",
    "text": "on other text: the data, or the order in which it is read, has changed since",
}
"""What sums depend on besides the config, and how a difference is said."""


_HASH = "xxh3_128"
"""Key of the hash in a file's metadata."""


class Partial(NamedTuple):
    """The state of one rank."""

    position: int
    """Batches of this rank that are in the tensors."""
    counted: int
    """Counted tokens in them."""
    origin: Mapping[str, str]
    """Fingerprints of what the sums depend on, by the names in `ORIGIN`."""
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
        "origin": dict(state.origin),
        "world": world,
    }
    atomic_write(folder / f"rank{rank}.json", json.dumps(meta))
    for old in folder.glob(f"rank{rank}-*.safetensors"):
        if old != path:
            old.unlink(missing_ok=True)


def load_partial(folder: Path, rank: int, world: int, origin: Mapping[str, str]) -> Partial | None:
    """The saved state of a rank; None if it saved nothing yet.

    Args:
        folder: Where the run keeps its state.
        rank: The rank.
        world: Ranks of the run that goes on.
        origin: Fingerprints of what that run depends on.

    Raises:
        UserError: It was saved by another number of ranks or from something else, or is damaged.
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
        for name, what in ORIGIN.items():
            old, new = meta["origin"].get(name), origin.get(name)
            if old is not None and new is not None and old != new:
                raise UserError(
                    f"{run} was begun {what.format(old=old, new=new)}; start anew with resume=never"
                )
    if f"rank{rank}" not in metas:
        return None
    own = metas[f"rank{rank}"]
    return Partial(own["position"], own["counted"], own["origin"], load_tensors(folder / own["file"]), number)


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
    """Read a file of tensors, and compare them with the hash that it carries.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            written = (file.metadata() or {}).get(_HASH)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}; start anew with resume=never") from error
    if written is not None and written != digest(tensors):
        raise UserError(
            f"cannot read {path}: it is not what was written (its hash differs); start anew with resume=never"
        )
    return tensors


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
        if "origin" not in meta:  # written before weights, tokenizer and version were recorded
            meta["origin"] = {"text": meta["text"]}
        found = {name: meta[name] for name in ("file", "position", "counted", "origin", "world")}
        numbers = all(type(found[name]) is int for name in ("position", "counted", "world"))
        if not numbers or not isinstance(found["origin"], dict) or found["file"] != Path(found["file"]).name:
            raise ValueError("a value of another type")
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; start anew with resume=never") from error


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={_HASH: digest(tensors)})
    except SafetensorError as error:  # how safetensors says that the disk is full
        raise CannotWriteError(f"cannot write {path}: {error}") from error
