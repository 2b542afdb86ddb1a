"""Text from files: every format, broken records, and files that cannot be read."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from un_lightning.config import DataConfig, DataSource, Order
from un_lightning.data.files import Files
from un_lightning.errors import UserError


RECORDS = [
    {"text": "first", "meta": {"set": "x"}},
    {"text": "second, naïve\nline", "meta": {"set": "y"}},
    {"text": "third", "meta": None},
]
TEXTS = [record["text"] for record in RECORDS]


def lines(records=RECORDS):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def compressed(content):
    return zstandard.ZstdCompressor().compress(content)


def parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


@pytest.fixture
def read():
    """Open the source; returns it and its documents."""

    def documents(path, **changes):
        settings = {"source": DataSource.files, "path": str(path), "min_characters": 0, "order": Order.given}
        source = Files(DataConfig(**(settings | changes)))
        return source, list(source)

    return documents


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.zst", "parquet"])
def test_records_and_their_subsets(tmp_path, read, ending):
    path = tmp_path / f"text.{ending}"
    if ending == "parquet":
        parquet(path, {key: [record[key] for record in RECORDS] for key in ("text", "meta")})
    else:
        path.write_bytes(lines() if ending == "jsonl" else compressed(lines()))
    source, documents = read(path, subset_column="meta.set")
    assert [document.text for document in documents] == TEXTS
    assert [document.subset for document in documents] == ["x", "y", "all"]
    assert [document.name for document in documents] == [f"text.{ending}#{n}" for n in range(3)]
    assert source.problems == {"without a subset": 1}


def test_columns_with_other_names(tmp_path, read):
    path = tmp_path / "text.jsonl"
    path.write_bytes(lines([{"a.b": "flat"}, {"a": {"b": "nested"}, "label": 3}]))
    documents = read(path, text_column="a.b", subset_column="label")[1]
    assert [(document.text, document.subset) for document in documents] == [("flat", "all"), ("nested", "3")]


def test_a_column_of_a_table_whose_name_has_a_dot(tmp_path, read):
    parquet(tmp_path / "a.parquet", {"page.text": TEXTS, "meta": [record["meta"] for record in RECORDS]})
    documents = read(tmp_path / "a.parquet", text_column="page.text", subset_column="meta.set")[1]
    assert [(document.text, document.subset) for document in documents] == list(
        zip(TEXTS, ["x", "y", "all"], strict=True)
    )


def test_a_text_file_is_one_document(tmp_path, read):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfline one\nline caf\xe9\n")
    (document,) = read(tmp_path / "a.txt")[1]
    assert document.text == "line one\nline caf\N{REPLACEMENT CHARACTER}\n"


def test_files_of_several_frames_are_read_to_the_end(tmp_path, read):
    """As parallel compressors write them."""
    path = tmp_path / "text.jsonl.zst"
    path.write_bytes(compressed(lines()) + compressed(lines()))
    assert [document.text for document in read(path)[1]] == TEXTS * 2


def test_a_folder_and_a_glob_in_the_order_of_the_names(tmp_path, read):
    for name in ("b/2.txt", "a.txt", "b/1.txt", "b/notes.md", "c/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.txt").mkdir()
    assert [d.text for d in read(tmp_path)[1]] == ["a.txt", "b/1.txt", "b/2.txt", "c/1.txt"]
    assert [d.text for d in read(tmp_path / "b")[1]] == ["b/1.txt", "b/2.txt"]
    assert [d.text for d in read(tmp_path / "**" / "1.txt")[1]] == ["b/1.txt", "c/1.txt"]


def test_a_path_below_the_home_folder(tmp_path, read, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("at home")
    assert [d.text for d in read("~/a.txt")[1]] == ["at home"]


def test_broken_records_are_counted_and_the_rest_is_read(tmp_path, read):
    path = tmp_path / "text.jsonl"
    broken = [b"no json", b"[1, 2]", b'{"text": 3}', b'{"body": "x"}', b"[" * 100_000, b'{"text": "cut o']
    path.write_bytes(b"\xef\xbb\xbf" + lines() + b"\n\n" + b"\n".join(broken) + b"\n" + lines())
    source, documents = read(path)
    assert [document.text for document in documents] == TEXTS * 2
    assert source.problems == {"broken": len(broken)}  # empty lines are none


def test_characters_that_no_tokenizer_takes(tmp_path, read):
    path = tmp_path / "text.jsonl"
    path.write_bytes(b'{"text": "half \\ud800 a character", "set": "\\udc00"}\n{"text": "not utf-8 \xff"}\n')
    documents = read(path, subset_column="set")[1]
    assert [document.text for document in documents] == [
        "half ? a character",
        "not utf-8 \N{REPLACEMENT CHARACTER}",
    ]
    assert documents[0].subset == "?"


def test_short_documents_are_counted(tmp_path, read):
    path = tmp_path / "text.jsonl"
    path.write_bytes(lines([{"text": "x" * n} for n in (49, 50, 51)]))
    source, documents = read(path, min_characters=50)
    assert [len(document.text) for document in documents] == [51]
    assert source.problems == {"short": 2}


def unreadable(path, tmp_path):
    """The same file, damaged in the way that its name says."""
    whole = parquet(tmp_path / "whole", {"text": ["a", "b"] * 500})
    return {
        "cut.jsonl.zst": compressed(lines() * 1000)[:-10],
        "tail.jsonl.zst": compressed(lines()) + b"garbage",
        "noise.jsonl.zst": b"garbage" * 10,
        "cut.parquet": whole[:-20],
        "noise.parquet": b"garbage" * 10,
        "flipped.parquet": whole[:4] + b"\xff" * 40 + whole[44:],
    }[path]


@pytest.mark.parametrize(
    "name",
    [
        "cut.jsonl.zst",
        "tail.jsonl.zst",
        "noise.jsonl.zst",
        "cut.parquet",
        "noise.parquet",
        "flipped.parquet",
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, read, name):
    (tmp_path / name).write_bytes(unreadable(name, tmp_path))
    with pytest.raises(UserError, match=f"cannot read {tmp_path}/{name}: "):
        read(tmp_path / name)


def test_a_table_without_the_column_is_named(tmp_path, read):
    parquet(tmp_path / "a.parquet", {"body": ["x"], "id": [1]})
    with pytest.raises(
        UserError, match=r"a.parquet has no column 'text', only body, id: set data.text_column"
    ):
        read(tmp_path / "a.parquet")


def test_a_dangling_link_is_named(tmp_path):
    (tmp_path / "texts").mkdir()
    os.symlink(tmp_path / "gone.txt", tmp_path / "texts" / "a.txt")
    source = Files(DataConfig(source=DataSource.files, path=str(tmp_path / "texts")))
    with pytest.raises(UserError, match=r"cannot read .*a.txt: No such file"):
        source.fingerprint()


@pytest.mark.parametrize("pattern", ["nothing", "*.jsonl", "."])
def test_no_file_matches(tmp_path, read, pattern):
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(UserError, match=r"data.path=.*no such file.*\.jsonl, \.jsonl\.zst, \.parquet, \.txt"):
        read(tmp_path / pattern)


def test_a_file_of_another_format(tmp_path, read):
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(UserError, match=r"notes.md: the ending must be one of \.jsonl"):
        read(tmp_path / "notes.md")


def test_the_fingerprint_changes_with_the_files_and_the_columns(tmp_path, read):
    path = tmp_path / "a.txt"
    path.write_text("one")
    prints = [read(path)[0].fingerprint(), read(path, text_column="t")[0].fingerprint()]
    path.write_text("three")
    prints.append(read(path)[0].fingerprint())
    (tmp_path / "b.txt").write_text("more")
    prints.append(read(tmp_path)[0].fingerprint())
    assert len({json.dumps(one) for one in prints}) == 4
