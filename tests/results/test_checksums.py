"""A file of a finished run that changed since is not taken for a result."""

import json

import pandas as pd
import pytest

from un_lightning.errors import UserError
from un_lightning.results.checksums import CHECKSUMS, verify
from un_lightning.results.results import Results


@pytest.fixture
def folder(tmp_path):
    results = Results(scalars={"a": 1.5}, tables={"neurons": pd.DataFrame({"x": [1, 2, 3]})})
    results.write(tmp_path)
    return tmp_path


def damaged(content: bytes, damage: str) -> bytes:
    if damage == "bit":
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        return bytes(changed)
    return {"cut": content[:-2], "empty": b"", "other type": b"[1, 2]"}[damage]


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "other type"])
@pytest.mark.parametrize("name", ["summary.json", "tables/neurons.parquet", CHECKSUMS])
def test_every_damage_of_every_file_is_named(folder, name, damage):
    verify(folder)
    path = folder / name
    path.write_bytes(damaged(path.read_bytes(), damage))
    with pytest.raises(UserError, match=r"is not what the run wrote|is damaged|cannot read"):
        verify(folder)


def test_a_file_that_is_gone_is_named_and_an_older_run_passes(folder):
    (folder / "tables" / "neurons.parquet").unlink()
    with pytest.raises(UserError, match=r"cannot read .*neurons.parquet, which the run wrote"):
        verify(folder)
    (folder / CHECKSUMS).unlink()
    verify(folder)
    assert json.loads((folder / "summary.json").read_text()) == {"a": 1.5}
