"""A token budget is a sample of all documents: against sorting everything, which no source could afford."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.conftest import sentence
from un_lightning.config import DataSource, Order, Part
from un_lightning.data.documents import belongs, stable_hash
from un_lightning.data.order import in_seeded_order, order_key
from un_lightning.data.prepare import prepare_store
from un_lightning.data.records import Candidate
from un_lightning.data.sources import open_source
from un_lightning.data.store import Store
from un_lightning.errors import UserError


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 60), st.integers(0, 3))
def test_the_order_is_that_of_the_keys_however_much_is_held(sizes, held, seed):
    whole = [Candidate(f"n{number}", size, lambda: None) for number, size in enumerate(sizes)]
    read = lambda wanted: (candidate for candidate in whole if wanted(candidate.name))
    found = [candidate.name for candidate in in_seeded_order(read, seed, held)]
    assert found == sorted((c.name for c in whole), key=lambda name: order_key(name, seed))


@pytest.fixture
def folder(tmp_path):
    """Four files of 150 documents, each of one subset, three of them below folders with the same name."""
    for number, name in enumerate(["a.jsonl", "x/a.jsonl", "y/a.jsonl", "z/b.jsonl"]):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"text": sentence(150 * number + n), "meta": {"set": "abcd"[number]}} for n in range(150)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "corpus"


def drawn(config, count=80):
    return Counter(document.subset for document, _ in zip(open_source(config), range(count), strict=False))


def test_a_budget_draws_from_all_files_in_proportion(folder, text_config):
    found = drawn(text_config(path=str(folder)))
    assert all(10 <= found[subset] <= 30 for subset in "abcd")  # 20 ± 3.6 each
    assert drawn(text_config(path=str(folder), order=Order.given)) == {"a": 80}
    assert drawn(text_config(path=str(folder), subset=["b", "d"])).keys() == {"b", "d"}


def test_another_seed_draws_other_documents(folder, text_config):
    first, again, other = (
        [document.name for document in open_source(text_config(path=str(folder), draw=seed))]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_a_larger_store_begins_with_the_smaller_one(folder, text_config, tokenizer):
    small, large = (
        Store(prepare_store(text_config(path=str(folder), tokens=tokens), tokenizer))
        for tokens in (320, 1600)
    )
    rows = np.arange(small.blocks)
    np.testing.assert_array_equal(small.read(rows), large.read(rows))
    assert small.manifest["documents"] < large.manifest["documents"]
    assert large.manifest["source"]["order"] == "seeded"
    assert set(large.manifest["documents_by_subset"]) == set("abcd")
    neighbours = large.subset[1:] != large.subset[:-1]
    assert neighbours.mean() > 0.4  # the subsets are mixed, not one behind the other


def test_the_path_below_the_folder_decides_what_is_held_out(tmp_path, text_config):
    for number in range(200):
        path = tmp_path / "many" / str(number) / "content.txt"
        path.parent.mkdir(parents=True)
        path.write_text(sentence(number))
    source = open_source(text_config(path=str(tmp_path / "many"), part=Part.held_out, subset_column=None))
    names = {document.name for document in source}
    assert names == {name for n in range(200) if belongs(name := f"{n}/content.txt#0", Part.held_out)}
    assert 8 <= len(names) <= 35
    assert source.problems == {"not in data.part=held_out": 200 - len(names)}
    pattern = open_source(text_config(path=str(tmp_path / "many" / "*" / "*.txt"), subset_column=None))
    assert names < {document.name for document in pattern}


def test_copies_are_not_read(tmp_path, text_config):
    for name in ("a.txt", "._a.txt", ".hidden/b.txt", ".ipynb_checkpoints/a-checkpoint.txt", "c/.d.txt"):
        path = tmp_path / ".corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {name}")
    source = open_source(text_config(path=str(tmp_path / ".corpus"), subset_column=None))
    assert [document.name for document in source] == ["a.txt#0"]


def test_a_mistyped_column_and_a_subset_that_is_not_there(folder, text_config, tokenizer):
    with pytest.raises(
        UserError, match=r"data.subset_column=meta.sett: none of 600 records has it, only meta"
    ):
        prepare_store(text_config(path=str(folder), subset_column="meta.sett", tokens=10**6), tokenizer)
    with pytest.raises(UserError, match="no document is of e; there are a, b, c, d"):
        prepare_store(text_config(path=str(folder), subset=["a", "e"], tokens=10**6), tokenizer)


def test_labels_in_json_that_is_a_string(tmp_path, text_config):
    (tmp_path / "s.jsonl").write_text(json.dumps({"text": "a cat sat", "meta": '{"set": "x"}'}) + "\n")
    (document,) = open_source(text_config(path=str(tmp_path / "s.jsonl")))
    assert document.subset == "x"


SAMPLE_BEGINS = "0x860d874944d032dd"
"""Hash of the first documents: changes with the sample or the order of documents, and nothing else."""


def test_the_sample_is_the_same_everywhere(text_config):
    documents = list(open_source(text_config(source=DataSource.sample, path=None)))
    assert len(documents) >= 1000
    assert len({document.subset for document in documents}) >= 12
    assert all(len(document.text) <= 3000 for document in documents)
    assert (
        hex(stable_hash("".join(document.name + document.text for document in documents[:300])))
        == SAMPLE_BEGINS
    )
    with pytest.raises(ValueError, match="data=sample is held out"):
        text_config(source=DataSource.sample, part=Part.train)
