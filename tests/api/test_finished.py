"""Finished runs from Python: found by name, read when asked for, shown without harm."""

import html
import json

import pandas as pd
import pytest

import un_lightning as ul
from tests.report.conftest import HOSTILE, make_run, neuron_table
from un_lightning import __version__
from un_lightning.report.finished import find_runs
from un_lightning.results.checksums import write_checksums


FIRST, SECOND = "2026-01-01_00-00-00", "2026-01-02_00-00-00"


@pytest.fixture
def root(tmp_path):
    """Two runs of one experiment, the second of which is the newest, and an unfinished one."""
    root = tmp_path / "elsewhere"
    place = root / "tiny" / "universality"
    scalars = {"universal/percent": 0.25, f"odd/{HOSTILE.replace('/', '')}": 3, "empty/number": None}
    for name in (FIRST, SECOND):
        make_run(place / name, neuron_table(), figures=["excess"], summary=scalars, data={"tokens": 1000})
    (place / "latest").symlink_to(SECOND)
    make_run(root / "tiny" / "weights" / FIRST)
    make_run(root / "tiny" / "families" / FIRST)
    (root / "tiny" / "families" / FIRST / "summary.json").unlink()
    return root


def test_by_name_by_folder_and_by_pattern(root):
    newest = ul.open_run("tiny/universality", root=root)
    assert newest.folder == root / "tiny" / "universality" / SECOND
    assert newest.name == f"tiny/universality/{SECOND}"
    assert ul.open_run(root / "tiny" / "universality" / FIRST).folder.name == FIRST
    names = [f"tiny/universality/{FIRST}", f"tiny/universality/{SECOND}", f"tiny/universality/{FIRST}"]
    assert [run.name for run in ul.runs("tiny/*", root=root)] == names
    assert [run.name for run in ul.runs(root=root)] == names
    assert [run.folder.name for run in ul.runs("tiny/universality", root=root)] == [SECOND]


def test_what_a_run_has(root):
    run = ul.open_run("tiny/universality", root=root)
    assert run.summary["universal/percent"] == 0.25
    assert run.config["data.tokens"] == 1000
    assert [*run.tables] == ["neurons"]
    assert "neurons" in run.tables
    assert run.tables["neurons"] is run.tables["neurons"]
    pd.testing.assert_frame_equal(run.tables["neurons"], neuron_table())
    assert run.figures["excess"].source == run.folder / "figures" / "excess.png"
    assert run.figures["excess"]._repr_png_() == (run.folder / "figures" / "excess.png").read_bytes()
    assert run.tables.get("neuron") is None
    with pytest.raises(ul.UserError, match="^there is no table 'neuron', there are: neurons$"):
        run.tables["neuron"]
    with pytest.raises(KeyError):
        run.figures["nothing"]


def test_a_table_is_read_and_verified_when_it_is_asked_for(root):
    folder = root / "tiny" / "universality" / SECOND
    write_checksums(folder, ["tables/neurons.parquet", "summary.json"], {})
    (folder / "tables" / "neurons.parquet").write_bytes(b"damaged")
    run = ul.open_run(folder)
    with pytest.raises(ul.UserError, match="neurons.parquet is not what the run wrote"):
        run.tables["neurons"]
    (folder / "summary.json").write_text("{}")
    with pytest.raises(ul.UserError, match="summary.json is not what the run wrote"):
        ul.open_run(folder)


def test_how_it_is_shown(root):
    run = ul.open_run("tiny/universality", root=root)
    assert repr(run).startswith(f"<Run tiny/universality/{SECOND} (correlation): tables neurons;")
    page = run._repr_html_()
    assert "universal/percent</th><td>0.25</td>" in page
    assert "<script" not in page
    assert html.escape(HOSTILE.replace("/", "")) in page


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere", "^nowhere: there is no finished run; give run folders, a pattern or an experiment$"),
        ("tiny", r"^tiny stands for 3 runs: name one of them, or open all with runs\('tiny'\)$"),
        (f"elsewhere/tiny/families/{FIRST}", "there is no finished run yet; go on with resume=elsewhere"),
        ("tiny/families", "^tiny/families: there is no finished run"),
    ],
)
def test_what_is_no_finished_run(root, word, message):
    with pytest.raises(ul.UserError, match=message):
        ul.open_run(word, root=root)


@pytest.mark.parametrize("key", ["un_lightning", "un-lightning"])
def test_a_run_of_a_newer_version_is_refused(root, key):
    folder = root / "tiny" / "weights" / FIRST
    for version in (__version__, f"{__version__}.post1", "0.0.1", "unknown"):
        (folder / "summary.json").write_text(json.dumps({"versions": {key: version}}))
        ul.open_run(folder)
    (folder / "summary.json").write_text(json.dumps({"versions": {key: "99.1.0"}}))
    message = f"is of un-lightning 99.1.0, and this is {__version__}: install that version"
    with pytest.raises(ul.UserError, match=message):
        ul.open_run(folder)
    with pytest.raises(ul.UserError, match=message):  # pages say the same
        find_runs([str(folder)], root)
