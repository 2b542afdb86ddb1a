"""What there is to choose from, without torch."""

import json
import subprocess
import sys

import pytest

from un_lightning import cli
from un_lightning.commands import listing
from un_lightning.commands.questions import question
from un_lightning.compose import config_folders, configs_folder
from un_lightning.mistakes import experiments


@pytest.mark.parametrize("name", experiments([configs_folder()]))
def test_every_experiment_asks_one_question(name):
    asked = question(name, config_folders())
    assert asked.endswith("?")
    assert 20 < len(asked) < 110


def test_an_experiment_without_a_question_is_listed(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text("name: own\n")
    assert listing.main(["experiments", "--config-dir", str(tmp_path)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "own" in lines
    assert any(line.startswith("tiny/universality ") and line.endswith("share?") for line in lines)


def test_everything_is_listed_without_torch():
    code = "import sys; from un_lightning.commands import listing; listing.main([]); "
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text in (*(f"{name}:" for name in listing.SECTIONS), "  correlation", "  un_tiny", "  jaccard"):
        assert text in done.stdout


def test_finished_runs_come_newest_first_and_damaged_ones_are_named(tmp_path, capsys):
    assert listing.main(["runs", "--root", str(tmp_path)]) == 0
    assert "none" in capsys.readouterr().out
    for number in range(listing.NEWEST + 1):
        (tmp_path / "tiny" / f"{number}").mkdir(parents=True)
        (tmp_path / "tiny" / f"{number}" / "summary.json").write_text(json.dumps({"analysis": "weights"}))
    (tmp_path / "tiny" / "3" / "summary.json").write_text("{")
    (tmp_path / "tiny" / "latest").symlink_to("3")
    assert listing.main(["runs", "--root", str(tmp_path), "--all"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("weights") == listing.NEWEST
    assert shown.count("damaged") == 1
    assert "latest" not in shown
    assert listing.main(["runs", "--root", str(tmp_path)]) == 0
    assert "1 more" in capsys.readouterr().out


def test_a_section_that_does_not_exist(capsys):
    assert listing.main(["experimnts"]) == 2
    assert "nothing called 'experimnts'" in capsys.readouterr().err


def test_the_version(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["un-lightning", "--version"])
    cli.main()
    assert capsys.readouterr().out == "un-lightning 0.1.0\n"
