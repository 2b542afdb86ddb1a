"""Every key says what it means, in the terminal, in `--help` and on the page of all keys."""

from pathlib import Path

import pytest

from un_lightning.commands import keys
from un_lightning.commands.verb_help import show_help
from un_lightning.config.key_docs import documented


PAGE = Path(__file__).parents[2] / "docs" / "keys.md"


def test_every_key_of_ours_says_what_it_means():
    silent = [f"{title}.{key.name}" for title, _, own, _ in keys.sections() for key in own if not key.doc]
    assert silent == []


def test_the_page_is_current():
    """Otherwise: un-lightning keys --markdown docs/keys.md"""
    assert PAGE.read_text() == keys.page()


def test_one_key_a_section_and_a_mistake(capsys):
    assert keys.main(["trainer.devices", "analysis.correlation.draws"]) == 0
    said = capsys.readouterr().out
    assert "trainer.devices=1\n      Devices of each node" in said
    assert "analysis.draws=3\n      Draws of the baseline" in said
    assert keys.main(["logger"]) == 0
    assert "logger.tags" in capsys.readouterr().out
    assert keys.main(["trainer.device"]) == 2
    assert "near are trainer.devices" in capsys.readouterr().err


def test_help_knows_the_chosen_analysis_and_values(capsys):
    show_help("run", "an analysis", ["experiment=tiny/families", "data.tokens=5_000"])
    said = capsys.readouterr().out
    assert "data.tokens=5000\n      Tokens that a run reads" in said
    assert "analysis.leading" in said
    show_help("run", "an analysis", ["experiment=nonsense"])
    assert "nonsense" in capsys.readouterr().err


def test_docs_of_a_class_without_a_file():
    space = {}
    exec("from dataclasses import dataclass\n@dataclass\nclass Bare:\n    x: int = 3", space)
    (key,) = documented(space["Bare"])
    assert (key.name, key.default, key.doc) == ("x", "3", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_flag_of_a_verb(flag, capsys):
    from un_lightning import cli

    cli.launch("run", [flag])
    said = capsys.readouterr().out
    assert "usage: un-lightning run experiment=<name>" in said
    assert "correlation" in said.partition("analysis: ")[2].partition("\n")[0]
