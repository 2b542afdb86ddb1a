"""Runs are found by all that people call them."""

import json
import os

import pytest

from tests.report.conftest import make_run
from un_lightning.errors import UserError
from un_lightning.report.finished import find_runs, label


def found(words, root):
    return ["/".join(run.folder.parts[-2:]) for run in find_runs(words, root)]


DAYS = ["universality/2026-01-01_00-00-00", "universality/2026-01-02_00-00-00"]


def test_folders_patterns_and_experiments(runs):
    assert found([str(runs / "tiny" / "universality")], runs) == DAYS
    assert found([str(runs / "tiny" / "universality" / "2026-01-01*")], runs) == DAYS[:1]
    assert found([str(runs / "tiny" / "universality" / "*")], runs) == DAYS
    assert found([str(runs)], runs) == [*DAYS, "weights/2026-01-01_00-00-00"]
    assert found(["tiny/weights", str(runs)], runs) == ["weights/2026-01-01_00-00-00", *DAYS]
    newest = find_runs(["tiny/universality"], runs)
    assert [run.folder.resolve().name for run in newest] == ["2026-01-02_00-00-00"]


def test_where_links_cannot_be_made_a_file_names_the_newest(runs):
    (runs / "tiny" / "universality" / "latest").unlink()
    (runs / "tiny" / "universality" / "latest.txt").write_text("2026-01-01_00-00-00\n")
    assert found(["tiny/universality"], runs) == DAYS[:1]


def test_a_run_is_taken_once(runs):
    folder = str(runs / "tiny" / "universality" / "2026-01-02_00-00-00")
    assert len(find_runs([folder, "tiny/universality", os.path.relpath(folder)], runs)) == 1


def test_a_sweep_is_its_points(runs):
    sweep = runs / "sweeps" / "some-12345678"
    for name in ("0002", "0001"):
        make_run(sweep / name)
    (sweep / "summary.json").write_text("{}")
    assert found(["some-12345678"], runs) == ["some-12345678/0001", "some-12345678/0002"]


@pytest.mark.parametrize("word", ["tiny/univers", "no*", "runs/tiny/universality/2026-01-03_00-00-00"])
def test_what_is_not_there_is_named(runs, word):
    with pytest.raises(UserError, match="there is no finished run") as caught:
        find_runs([word], runs)
    assert str(caught.value).startswith(word)


def test_a_run_that_cannot_be_read_is_named(runs):
    folder = runs / "tiny" / "weights" / "2026-01-01_00-00-00"
    (folder / "summary.json").write_text("{")
    with pytest.raises(UserError, match="weights/2026-01-01_00-00-00 cannot be read"):
        find_runs(["tiny/weights", str(folder)], runs)
    (folder / "summary.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match="holds no keys"):
        find_runs([str(folder)], runs)


def test_what_a_run_knows(runs):
    first, second, third = find_runs([str(runs)], runs)
    assert [run.label for run in (first, second, third)] == ["A", "B", "C"]
    assert first.name == "tiny/universality/2026-01-01_00-00-00"
    assert (third.analysis, first.config["data.tokens"]) == ("weights", 1000)
    assert "run_dir" not in first.config
    assert [*first.tables()] == ["neurons"]
    assert [*third.figures()] == ["norms"]


def test_labels():
    assert [label(place) for place in (0, 25, 26, 27, 701, 702)] == ["A", "Z", "AA", "AB", "ZZ", "AAA"]
