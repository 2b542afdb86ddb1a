"""Results lie in a run folder completely, or the folder has no summary."""

import errno
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from un_lightning.errors import UserError
from un_lightning.results import results as module
from un_lightning.results.results import FORMATS, Results, figure_path, plain, read_summary, table_path
from un_lightning.results.runs import is_finished


def some_results() -> Results:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1])
    neurons = pd.DataFrame(
        {
            "model": ["a", "a", "a"],
            "layer": np.array([0, 0, 1], dtype=np.int16),
            "valid": [True, False, True],
            "excess_corr": np.array([0.25, np.nan, 0.75], dtype=np.float32),
        }
    )
    scalars = {"universal/count": 1, "excess/mean": 0.5, "analysis": "correlation", "models": ["a", "b"]}
    return Results(scalars, {"neurons": neurons}, {"excess": figure}, [("Universal", "1")])


def test_everything_is_read_back(tmp_path):
    results = some_results()
    results.write(tmp_path / "run")
    assert read_summary(tmp_path / "run") == results.scalars
    table = pd.read_parquet(tmp_path / "run" / "tables" / "neurons.parquet")
    pd.testing.assert_frame_equal(table, results.tables["neurons"], check_dtype=True)
    with Image.open(tmp_path / "run" / "figures" / "excess.png") as image:
        assert image.size == (300, 150)  # inches times 150
    files = sorted(path.relative_to(tmp_path / "run").as_posix() for path in tmp_path.rglob("*.*"))
    assert files == ["checksums.json", "figures/excess.png", "summary.json", "tables/neurons.parquet"]


def test_figures_are_vectors_too_and_the_same_figure_is_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FORMATS", FORMATS)
    for folder in ("a", "b"):
        some_results().write(tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "a" / "figures").iterdir())
    assert files == ["excess.pdf", "excess.png"]
    for name in files:
        first, second = (tmp_path / folder / "figures" / name for folder in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "a" / "figures" / "excess.pdf").read_bytes().startswith(b"%PDF")
    listed = json.loads((tmp_path / "a" / "checksums.json").read_text())
    assert "figures/excess.pdf" in json.dumps(listed)


def test_paths(tmp_path):
    assert table_path(tmp_path, "neurons") == tmp_path / "tables" / "neurons.parquet"
    assert figure_path(tmp_path, "excess") == tmp_path / "figures" / "excess.png"


def test_summary_is_strict_sorted_json(tmp_path):
    scalars = {
        "z": float("nan"),
        "a": [1.5, float("inf"), ["x", -math.inf]],
        "flag": True,
        "name": "naïve",
    }
    Results(scalars).write(tmp_path)
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    summary = json.loads(text, parse_constant=refuse)
    assert summary == {"a": [1.5, None, ["x", None]], "flag": True, "name": "naïve", "z": None}
    assert list(summary) == sorted(summary)
    assert text.endswith("\n")


def test_plain_turns_numpy_into_python():
    value = {"i": np.int64(3), "f": np.float32(0.5), "b": np.True_, "n": np.float64("nan"), "a": np.arange(2)}
    assert plain(value) == {"i": 3, "f": 0.5, "b": True, "n": None, "a": [0, 1]}
    assert [type(item) for item in plain(value).values()] == [int, float, bool, type(None), list]


def test_numbers_are_the_finite_ones():
    scalars = {"a": 1, "b": 0.5, "c": float("nan"), "d": "text", "e": [1.0], "f": True}
    assert Results(scalars).numbers() == {"a": 1, "b": 0.5, "f": True}


def test_the_summary_comes_last(tmp_path, monkeypatch):
    order = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(os.path.basename(b)), real(a, b)))
    some_results().write(tmp_path)
    assert order == ["neurons.parquet", "excess.png", "checksums.json", "summary.json"]


@pytest.mark.parametrize(
    ("owner", "method", "file"),
    [(pd.DataFrame, "to_parquet", "tables/neurons.parquet"), (Figure, "savefig", "figures/excess.png")],
)
def test_a_full_disk_in_the_middle(tmp_path, monkeypatch, owner, method, file):
    """An old summary would make half-replaced results look finished."""
    some_results().write(tmp_path)
    (tmp_path / file).unlink()

    def write_half(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, method, write_half)
    with pytest.raises(UserError, match=rf"cannot write .*{file}: No space left on device"):
        some_results().write(tmp_path)
    assert not is_finished(tmp_path)
    assert not (tmp_path / file).exists()
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="cannot make the folder .*run/tables: Not a directory"):
        Results().write(tmp_path / "run")


@pytest.mark.slow
def test_a_kill_before_the_summary_leaves_an_unfinished_run(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "import pandas as pd; from un_lightning.results.results import Results\n"
        "real = os.replace\n"
        "def replace(a, b):\n"
        "    if b.name == 'summary.json': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(a, b)\n"
        "os.replace = replace\n"
        "Results({'x': 1}, {'t': pd.DataFrame({'a': [1]})}).write(Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path]).returncode == -signal.SIGKILL
    assert len(pd.read_parquet(tmp_path / "tables" / "t.parquet")) == 1
    assert not is_finished(tmp_path)
    with pytest.raises(UserError, match=r"holds no finished run: there is no summary\.json"):
        read_summary(tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a\nb"])
def test_names_that_are_no_file_names(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name"):
        Results(tables={name: pd.DataFrame({"a": [1]})}).write(tmp_path)
    assert not is_finished(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [('{"a": ', "no valid JSON"), ("[1]", "no scalars"), ("\udcff", "no valid JSON")]
)
def test_a_summary_that_is_none(tmp_path, text, message):
    (tmp_path / "summary.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=message):
        read_summary(tmp_path)
