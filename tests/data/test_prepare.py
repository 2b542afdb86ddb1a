"""From text to a store: every token kept, once, whatever interrupts it."""

import errno
import functools
import json
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from un_lightning.config import Exclude, Order, Part
from un_lightning.data import pieces, prepare
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.prepare import prepare_store
from un_lightning.data.store import Store
from un_lightning.data.writer import MANIFEST, StoreWriter
from un_lightning.errors import UserError
from un_lightning.models.tokenizers import tokenizer_fingerprint


class Killed(BaseException):
    """The process is gone: nothing may run that cleans up after it."""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(prepare, "StoreWriter", functools.partial(StoreWriter, shard_rows=9))
    monkeypatch.setattr(pieces, "TOKENISE_AT_ONCE", 4)
    monkeypatch.setattr(pieces, "PIECE", 40)  # most documents are longer


def content(folder):
    """Everything in a store but its lock and what a killed process left lying about."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def text_of(store, tokenizer, subset):
    """The text of one subset's blocks in their order, EOS included."""
    rows = np.flatnonzero(store.subset == store.subsets.index(subset))
    return tokenizer.decode(store.read(rows)[:, 1:].reshape(-1))


def test_the_text_comes_out_as_it_went_in(tokenizer, text_config):
    config = text_config(tokens=100_000)  # more than there is: all of the text but the last rests
    store = Store(prepare_store(config, tokenizer))
    end = tokenizer.eos_token
    for subset in "ab":
        documents = [d.text for d in prepare.open_source(config) if d.subset == subset]
        whole = end.join(documents) + end
        found = text_of(store, tokenizer, subset)
        assert whole.startswith(found)
        # Less than a block, so fewer tokens than that, is left over.
        rest = tokenizer(whole[len(found) :], add_special_tokens=False)["input_ids"]
        assert len(rest) < config.context - 1


def test_only_as_much_as_is_asked_for(tokenizer, text_config):
    store = Store(prepare_store(text_config(tokens=161), tokenizer))
    assert store.context == 16
    # 161 tokens are 11 blocks; the last document may complete a few more.
    assert 11 <= store.blocks <= 13
    assert store.manifest["documents"] < 60


def test_pieces_of_a_document_give_its_tokens(tokenizer, text_config, tmp_path, monkeypatch):
    stores = []
    for piece in (40, 10**6):
        monkeypatch.setattr(pieces, "PIECE", piece)
        config = text_config(store=str(tmp_path / str(piece)))
        stores.append(Store(prepare_store(config, tokenizer)))
    rows = np.arange(min(store.blocks for store in stores))  # the budget ends within a document or behind it
    assert len(rows) >= 40
    tokens = [store.read(rows) for store in stores]
    np.testing.assert_array_equal(*tokens)
    np.testing.assert_array_equal(*(store.documents(rows, tokens[0], None) for store in stores))


def test_a_long_line_is_read_no_further_than_the_budget(tokenizer, text_config, jsonl, monkeypatch):
    jsonl.write_text(json.dumps({"text": "a cat sat on mats and " * 20_000}) + "\n")
    seen = []
    grouped = pieces._grouped

    def counted(pieces):
        for group in grouped(pieces):
            seen.extend(len(piece.text) for piece in group)
            yield group

    monkeypatch.setattr(pieces, "_grouped", counted)
    store = Store(prepare_store(text_config(subset_column=None), tokenizer))
    assert 40 <= store.blocks < 60
    assert store.manifest["documents"] == 1
    assert sum(seen) < 10_000


def test_it_is_made_once(tokenizer, text_config, monkeypatch):
    first = prepare_store(text_config(), tokenizer)
    monkeypatch.setattr(prepare, "_write", lambda *_: pytest.fail("made again"))
    assert prepare_store(text_config(), tokenizer) == first
    assert prepare_store(text_config(seed=5, batch_size=3, exclude=Exclude.none), tokenizer) == first


@pytest.mark.parametrize(
    "changes", [{"context": 8}, {"tokens": 320}, {"part": Part.train}, {"min_characters": 60}]
)
def test_other_text_is_another_store(tokenizer, text_config, changes):
    stores = [Store(prepare_store(config, tokenizer)) for config in (text_config(), text_config(**changes))]
    assert stores[0].folder != stores[1].folder
    assert stores[0].fingerprint != stores[1].fingerprint


def test_a_changed_file_is_another_store(tokenizer, text_config, jsonl):
    first = prepare_store(text_config(), tokenizer)
    jsonl.write_text(jsonl.read_text().replace("cat", "dog"))
    assert prepare_store(text_config(), tokenizer) != first


@contextmanager
def renames(dies_at=None):
    """Count the renames; the one with this number never happens, and nobody tidies up after it."""
    replace, targets = os.replace, []

    def counted(source, target):
        targets.append(target)
        if len(targets) == dies_at:
            raise Killed
        replace(source, target)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "replace", counted)
        if dies_at is not None:
            monkeypatch.setattr(Path, "unlink", lambda _, **__: None)
        yield targets


def test_a_kill_at_any_write_loses_nothing(tokenizer, text_config, tmp_path):
    with renames() as targets:
        whole = content(prepare_store(text_config(), tokenizer))
    assert len(targets) > 12  # several shards, each with its progress, then the files that make it a store
    for call in range(1, len(targets) + 1):
        config = text_config(store=str(tmp_path / f"killed-{call}"))
        with renames(dies_at=call), pytest.raises(Killed):
            prepare_store(config, tokenizer)
        again = content(prepare_store(config, tokenizer))
        assert again.keys() == whole.keys()
        for name, value in again.items():
            if name == MANIFEST:
                assert facts(value) == facts(whole[name])
            else:
                assert value == whole[name], (name, call)


def facts(manifest):
    """A manifest without the config, which names the folder of the stores."""
    return {key: value for key, value in json.loads(manifest).items() if key != "config"}


def test_a_disk_that_is_full_at_once(tokenizer, text_config, tmp_path):
    """No file of this process may grow beyond 600 bytes, which a shard of 9 blocks does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        with pytest.raises(UserError, match="File too large.*\nFree some space.*data.store=<folder>"):
            prepare_store(text_config(), tokenizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (partial,) = (tmp_path / "stores").iterdir()
    assert partial.suffix == ".partial"
    assert content(partial) == {}


def test_a_disk_that_runs_full_keeps_the_finished_shards(tokenizer, text_config, tmp_path, monkeypatch):
    whole = content(prepare_store(text_config(store=str(tmp_path / "whole")), tokenizer))
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device\nFree some space"):
        prepare_store(text_config(), tokenizer)
    monkeypatch.setattr(os, "fsync", fsync)
    (partial,) = (tmp_path / "stores").iterdir()
    kept = content(partial)["data-00000.arrow"]
    with renames() as targets:
        again = content(prepare_store(text_config(), tokenizer))
    assert kept == again["data-00000.arrow"] == whole["data-00000.arrow"]
    assert "data-00000.arrow" not in [Path(target).name for target in targets]
    assert again["data-00003.arrow"] == whole["data-00003.arrow"]


def test_the_name_of_a_special_token_in_a_text_is_text(tokenizer, text_config, jsonl):
    text = f"a cat {tokenizer.eos_token} sat on a mat and saw that other cats sat there too"
    jsonl.write_text(f'{{"text": "{text}"}}\n' * 5)
    store = Store(prepare_store(text_config(subset_column=None), tokenizer))
    rows = np.arange(store.blocks)
    tokens = store.read(rows)
    documents = store.documents(rows, tokens, None)[:, 1:].reshape(-1)
    is_end = tokens[:, 1:].reshape(-1) == tokenizer.eos_token_id
    # An EOS ends each document and stands nowhere else.
    np.testing.assert_array_equal(is_end[:-1], documents[1:] != documents[:-1])
    assert text in tokenizer.decode(tokens[:, 1:].reshape(-1))


def test_parts_share_no_document_and_miss_none(text_config):
    parts = {part: [d.name for d in prepare.open_source(text_config(part=part))] for part in Part}
    assert sorted(parts[Part.train] + parts[Part.held_out]) == sorted(parts[Part.all])
    assert set(parts[Part.train]).isdisjoint(parts[Part.held_out])
    assert 0 < len(parts[Part.held_out]) < len(parts[Part.train])


def test_a_tokenizer_without_ends_is_refused_before_anything_is_written(
    endless_tokenizer, text_config, tmp_path
):
    for make in (prepare_store, TokenBlocks):
        with pytest.raises(UserError, match="has neither a BOS nor an EOS token"):
            make(text_config(), endless_tokenizer)
    assert not (tmp_path / "stores").exists()


def test_text_that_gives_no_block_says_why(tokenizer, text_config):
    with pytest.raises(
        UserError, match=r"gave no block of 16 tokens from 0 documents \(left out: 60 short\).*data.path"
    ):
        prepare_store(text_config(min_characters=10_000), tokenizer)
    with pytest.raises(UserError, match=r"60 broken\).*data.text_column"):
        prepare_store(text_config(text_column="body"), tokenizer)


def test_skipped_records_are_in_the_manifest(tokenizer, text_config, jsonl):
    jsonl.write_text("no json\n" + jsonl.read_text())
    config = text_config(order=Order.given)
    assert Store(prepare_store(config, tokenizer)).manifest["problems"] == {"broken": 1}


def test_a_store_without_its_manifest_is_not_written_over(tokenizer, text_config):
    folder = prepare_store(text_config(), tokenizer)
    (folder / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"manifest.json is missing: delete the folder to remake it"):
        prepare_store(text_config(), tokenizer)


def test_long_documents_are_no_news(tokenizer, text_config, capfd):
    """Blocks are what the model sees, so transformers' warning of long texts is wrong here."""
    assert tokenizer.model_max_length == 16
    tokenizer.deprecation_warnings.clear()
    tokenizer_fingerprint(tokenizer)
    prepare_store(text_config(), tokenizer)
    assert "longer than" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("exclude", "tokens"),
    [(Exclude.paper, {"<|endoftext|>", "Ċ"}), (Exclude.special, {"<|endoftext|>"}), (Exclude.none, set())],
)
def test_excluded_tokens(tokenizer, text_config, exclude, tokens):
    data = TokenBlocks(text_config(exclude=exclude), tokenizer)
    assert set(tokenizer.convert_ids_to_tokens(list(data.excluded))) == tokens
