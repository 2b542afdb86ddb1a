"""The saved state of a rank: always whole, and only for the run that it is of."""

import errno
import json
import os

import pytest
import torch

from un_lightning.errors import CannotWriteError, UserError
from un_lightning.results import partial
from un_lightning.results.partial import (
    Partial,
    forget_before,
    load_known,
    load_partial,
    save_known,
    save_partial,
)


ORIGIN = {"text": "a", "models": "b", "tokenizer": "c", "version": "d", "package": "their 1"}


def state(position: int, rank: int = 0) -> Partial:
    value = 10.0 * position + rank
    tensors = {"a/sum": torch.full((3, 2), value, dtype=torch.float64), "b/count": torch.tensor([position])}
    return Partial(position, 7 * position, ORIGIN, tensors)


def same(one: Partial | None, other: Partial) -> bool:
    assert one is not None
    tensors = one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(one.tensors[name], tensor) and one.tensors[name].dtype == tensor.dtype
        for name, tensor in other.tensors.items()
    )
    return tensors and one[:3] == other[:3]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "partial"


def test_each_rank_gets_back_what_it_saved_last(folder):
    for position in (1, 5):
        for rank in range(2):
            save_partial(folder, rank, 2, state(position + rank, rank))
    for rank in range(2):
        assert same(load_partial(folder, rank, 2, ORIGIN), state(5 + rank, rank))
    assert sorted(path.name for path in (folder / "pass0").iterdir()) == [
        "rank0-5.safetensors",
        "rank0.json",
        "rank1-6.safetensors",
        "rank1.json",
    ]


def test_a_rank_that_saved_nothing_begins_anew(folder):
    assert load_partial(folder, 0, 1, ORIGIN) is None
    save_partial(folder, 1, 2, state(3))
    assert load_partial(folder, 0, 2, ORIGIN) is None


def test_a_pass_counts_once_every_rank_has_begun_it(folder):
    """A rank that is ahead of one that died before the end of the pass must do that end again."""
    for rank in range(2):
        save_partial(folder, rank, 2, state(4, rank))
    later = [state(0, rank)._replace(number=1) for rank in range(2)]
    save_partial(folder, 0, 2, later[0])
    assert same(load_partial(folder, 0, 2, ORIGIN), state(4))
    save_partial(folder, 1, 2, later[1])
    for rank in range(2):
        found = load_partial(folder, rank, 2, ORIGIN)
        assert same(found, later[rank])
        assert found is not None
        assert found.number == 1
    forget_before(folder, 1)
    assert [path.name for path in folder.iterdir()] == ["pass1"]
    assert same(load_partial(folder, 1, 2, ORIGIN), later[1])


def test_what_all_ranks_know(folder):
    assert load_known(folder) is None
    save_known(folder, {"shift": torch.arange(4.0)})
    known = load_known(folder)
    assert known is not None
    assert torch.equal(known["shift"], torch.arange(4.0))


@pytest.mark.parametrize("write", [0, 1])
def test_a_state_that_could_not_be_saved_leaves_the_older_one(folder, monkeypatch, write):
    """On a full disk, in the tensors and in the small file that names them."""
    save_partial(folder, 0, 1, state(1))
    fsync, calls = os.fsync, []

    def full(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".tmp"):
            calls.append(descriptor)
            if len(calls) == write + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWriteError, match="No space left on device"):
        save_partial(folder, 0, 1, state(2))
    assert same(load_partial(folder, 0, 1, ORIGIN), state(1))
    save_partial(folder, 0, 1, state(2))
    assert same(load_partial(folder, 0, 1, ORIGIN), state(2))


def test_a_library_that_cannot_write_is_a_full_disk_too(folder, monkeypatch):
    def fail(tensors, path, metadata):
        raise partial.SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(partial, "save_file", fail)
    with pytest.raises(CannotWriteError, match="No space left on device"):
        save_partial(folder, 0, 1, state(1))


def test_another_number_of_ranks_is_refused(folder):
    save_partial(folder, 0, 2, state(1))
    for rank, world in ((0, 1), (2, 3)):
        with pytest.raises(
            UserError, match=rf"begun by 2 processes and cannot go on with {world}.*resume=never"
        ):
            load_partial(folder, rank, world, ORIGIN)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("text", "begun on other text"),
        ("models", "begun with other weights"),
        ("tokenizer", "begun with another tokenizer"),
        ("package", r"begun by another version of the package .* \(their 1, this is changed\)"),
        ("version", r"begun by another version of un-lightning \(d, this is changed\)"),
    ],
)
def test_what_was_begun_from_something_else_is_refused(folder, changed, message):
    save_partial(folder, 0, 1, state(1))
    with pytest.raises(UserError, match=rf"{message}.*resume=never"):
        load_partial(folder, 0, 1, ORIGIN | {changed: "changed"})


def test_a_state_from_before_fingerprints_goes_on(folder):
    save_partial(folder, 0, 1, state(1))
    path = folder / "pass0" / "rank0.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"text": meta.pop("origin")["text"]}))
    found = load_partial(folder, 0, 1, ORIGIN)
    assert found is not None
    assert found.origin == {"text": "a"}


WHOLE = {"file": "rank0-1.safetensors", "position": 1, "counted": 7, "origin": ORIGIN, "world": 1}
WRONG = [{"position": "1"}, {"world": None}, {"origin": "a"}, {"file": "../x"}, {"file": 3}]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"file": "x"}', *(json.dumps(WHOLE | wrong) for wrong in WRONG)]
)
def test_a_damaged_description_is_named(folder, content):
    save_partial(folder, 0, 1, state(1))
    (folder / "pass0" / "rank0.json").write_text(content)
    with pytest.raises(UserError, match=r"rank0.json is damaged; start anew with resume=never"):
        load_partial(folder, 0, 1, ORIGIN)


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "bit", "zeros", "name"])
@pytest.mark.parametrize("file", ["pass0/rank0-1.safetensors", "known.safetensors"])
def test_damaged_tensors_are_named(folder, file, damage):
    save_known(folder, {"shift": torch.arange(4.0)})
    save_partial(folder, 0, 1, state(1))
    path = folder / file
    content = bytearray(path.read_bytes())
    if damage in ("bit", "name"):
        place = -3 if damage == "bit" else content.index(b"shift" if "known" in file else b"a/sum")
        content[place] ^= 1
    changed = {"cut": content[:-4], "empty": b"", "zeros": content[:-8] + bytes(8)}.get(damage, content)
    path.write_bytes(changed)
    if damage == "gone":
        path.rename(path.with_name("elsewhere"))
    read = load_known if "known" in file else lambda folder: load_partial(folder, 0, 1, ORIGIN)
    if damage == "gone" and "known" in file:
        assert read(folder) is None
        return
    with pytest.raises(UserError, match=rf"cannot read .*{path.name}.*resume=never"):
        read(folder)
