"""Opening stores: our own, those of `datasets`, and everything that is none."""

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_from_disk

from un_lightning.config import DataSource
from un_lightning.data.blocks import Packer
from un_lightning.data.datamodule import READ_BY, TokenBlocks
from un_lightning.data.prepare import prepare_store
from un_lightning.data.store import Store
from un_lightning.data.writer import MANIFEST, StoreWriter
from un_lightning.errors import UserError


BOS, EOS = 1, 2
TEXTS = [([5, 6, 7], "code"), ([8, 9], "prose"), ([10, 11, 12, 13, 14, 15], "code"), ([16, 17, 18], "prose")]


@pytest.fixture
def blocks():
    packer = Packer(4, BOS, EOS)
    return [block for n, (ids, subset) in enumerate(TEXTS) for block in packer.add(ids, n, subset)]


@pytest.fixture
def folder(tmp_path):
    """A store of three shards."""
    writer = StoreWriter(tmp_path / "partial", Packer(4, BOS, EOS), shard_rows=2)
    writer.resume()
    for ids, subset in TEXTS:
        writer.add(ids, subset)
    writer.finish(tmp_path / "store", {"bos": BOS, "eos": EOS})
    return tmp_path / "store"


@pytest.fixture
def save(tmp_path):
    """Save a table as `datasets` does; returns its folder."""

    def write(columns, change=lambda table: table):
        path = tmp_path / "foreign"
        change(Dataset.from_dict(columns)).save_to_disk(str(path))
        return path

    return write


def refusal(path, match):
    with pytest.raises(UserError, match=match) as caught:
        Store(path)
    return str(caught.value)


def test_round_trip(folder, blocks):
    store = Store(folder)
    rows = np.arange(len(blocks))[::-1].copy()  # from the last shard back into the first
    tokens = store.read(rows)
    assert (store.blocks, store.context, tokens.dtype) == (5, 4, np.int64)
    np.testing.assert_array_equal(tokens, np.stack([block.tokens for block in blocks])[rows])
    documents = store.documents(rows, tokens, EOS)
    np.testing.assert_array_equal(documents, np.stack([block.document for block in blocks])[rows])
    assert store.subsets == ["code", "prose"]
    assert [store.subsets[code] for code in store.subset] == [block.subset for block in blocks]
    assert store.highest(np.array([0])) == 7
    assert store.highest(rows) == 18


def test_the_manifest_counts_what_is_there(folder, blocks):
    manifest = json.loads((folder / MANIFEST).read_text())
    assert (manifest["blocks"], manifest["context"], manifest["documents"]) == (len(blocks), 4, len(TEXTS))
    assert manifest["subsets"] == {"code": 3, "prose": 2}
    assert [shard["rows"] for shard in manifest["shards"]] == [2, 2, 1]


def test_datasets_opens_it(folder, blocks):
    table = load_from_disk(str(folder))
    assert table.column_names == ["tokens", "document", "offset", "subset"]
    assert table["tokens"][:] == [block.tokens.tolist() for block in blocks]
    assert table["offset"][:] == [block.offset for block in blocks]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_a_table_made_elsewhere(save, dtype):
    tokens = np.arange(60, dtype=dtype).reshape(12, 5)
    store = Store(save({"tokens": list(tokens)}))
    rows = np.array([11, 0, 4])
    np.testing.assert_array_equal(store.read(rows), tokens[rows])
    assert (store.blocks, store.context, store.subsets) == (12, 5, ["all"])
    assert store.subset.tolist() == [0] * 12


def test_a_shuffled_table_is_read_in_its_new_order(save):
    tokens = [[n, n + 1] for n in range(40)]
    columns = {"tokens": tokens, "subset": [f"s{n % 3}" for n in range(40)]}
    shuffled = Dataset.from_dict(columns).shuffle(seed=1)
    store = Store(save(columns, lambda table: table.shuffle(seed=1)))
    order = [row[0] for row in shuffled["tokens"]]
    assert order != list(range(40))
    assert store.read(np.arange(40))[:, 0].tolist() == order
    assert [store.subsets[code] for code in store.subset] == [f"s{n % 3}" for n in order]


def test_without_documents_an_eos_ends_one(save):
    store = Store(save({"tokens": [[1, 5, EOS, 6], [1, EOS, 7, 8]]}))
    rows = np.array([1, 0])
    tokens = store.read(rows)
    assert store.documents(rows, tokens, EOS).tolist() == [[-1, 4, 5, 5], [-1, 0, 0, 1]]
    assert store.documents(rows, tokens, None).tolist() == [[-1, 4, 4, 4], [-1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"tokens": [[1, 2, 3], [1, 2]]}, "differ in length"),
        ({"tokens": [[1, 2], None]}, "differ in length or lack values"),
        ({"tokens": [[1, 2], [3, None]]}, "lack values"),
        ({"tokens": [[], []]}, "must be lists of integers"),
        ({"tokens": [1, 2]}, "must be lists of integers"),
        ({"tokens": [[0.5], [1.5]]}, "must be lists of integers"),
        ({"tokens": ["one", "two"]}, "must be lists of integers"),
        ({"input_ids": [[1], [2]]}, "no column 'tokens', only input_ids"),
        ({"tokens": []}, "holds no rows"),
    ],
)
def test_tables_that_hold_no_blocks(save, columns, match):
    refusal(save(columns), match)


def test_a_folder_of_several_splits(tmp_path):
    table = Dataset.from_dict({"tokens": [[1, 2]]})
    DatasetDict({"train": table, "test": table}).save_to_disk(str(tmp_path / "both"))
    assert "train, test" in refusal(tmp_path / "both", "several splits")


def test_folders_that_are_no_store(tmp_path):
    assert "data.path" in refusal(tmp_path / "missing", "there is no store")
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", "no token store that `datasets` can open")


def test_a_changed_byte_is_noticed(folder):
    path = folder / "data-00001.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"delete {folder}" in refusal(folder, "data-00001.arrow is not the file that was written")
    assert Store(folder, check=False).blocks == 5


def test_a_missing_shard_is_noticed(folder):
    (folder / "data-00000.arrow").unlink()
    refusal(folder, "lacks data-00000.arrow")


@pytest.mark.parametrize("content", ['{"shards": [', "[]", ""])
def test_a_damaged_manifest_is_noticed(folder, content):
    (folder / MANIFEST).write_text(content)
    refusal(folder, f"{MANIFEST} is damaged: delete")


@pytest.fixture
def own_store(tokenizer, text_config):
    """A store of the test's text, and the config that reads it."""

    def write(**changes):
        path = prepare_store(text_config(), tokenizer)
        return text_config(source=DataSource.store, path=str(path), **changes)

    return write


def test_a_store_is_read_as_it_is(tokenizer, own_store):
    data = TokenBlocks(own_store(tokens=300), tokenizer)
    data.setup("validate")
    assert data.tokens == 304  # whole blocks of 16
    assert data.facts()["subsets"] == ["a", "b"]
    assert READ_BY in data.fingerprint()  # sums of another order are refused


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"context": 32}, "have 16 tokens, data.context is 32: set data.context=16"),
        (
            {"tokens": 100_000},
            r"data.tokens=100,000 is more than the store holds.*set data.tokens=\d+ or less",
        ),
    ],
)
def test_a_config_that_does_not_fit_the_store(tokenizer, own_store, changes, match):
    with pytest.raises(UserError, match=match):
        TokenBlocks(own_store(**changes), tokenizer).setup("validate")


def test_the_text_of_a_source_is_too_short(tokenizer, text_config):
    data = TokenBlocks(text_config(tokens=6_400), tokenizer)
    with pytest.raises(UserError, match=r"more than the source \(files\) holds") as caught:
        data.setup("validate")
    held = int(str(caught.value).split("data.tokens=")[2].split()[0])
    TokenBlocks(text_config(tokens=held), tokenizer).setup("validate")


def test_a_store_of_another_tokenizer_is_refused(own_store, endless_tokenizer, tokenizer):
    tokenizer_of_models = endless_tokenizer
    tokenizer_of_models.add_tokens(["cats sat"])
    tokenizer_of_models.bos_token = "cats sat"
    with pytest.raises(UserError, match="was made with another tokenizer"):
        TokenBlocks(own_store(), tokenizer_of_models).setup("validate")


def test_a_table_with_tokens_beyond_the_tokenizer_is_refused(save, tokenizer, text_config):
    path = save({"tokens": [[1] * 16] * 30 + [[len(tokenizer)] * 16]})
    config = text_config(source=DataSource.store, path=str(path), tokens=31 * 16)
    with pytest.raises(UserError, match=f"holds token {len(tokenizer)}, but the tokenizer ends at"):
        TokenBlocks(config, tokenizer).setup("validate")
