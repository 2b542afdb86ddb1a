"""Analyses and labels of other packages: whole ones, and all the ways to be broken."""

import sys

import pytest

from tests import foreign
from un_lightning import cli, compose
from un_lightning.analyses import analysis_class
from un_lightning.config import WeightsConfig, registry
from un_lightning.config.declarations import OURS
from un_lightning.errors import UserError
from un_lightning.labels import known_labels, vocabulary_labels


def composed(*overrides):
    with compose.composer() as build:
        return build(["experiment=tiny/universality", *overrides])[0].analysis


def analysis(body, declaration='Declaration("mine:Config", "mine:run")', head=""):
    """One package with one module, whose config has a body."""
    return {
        "mine.py": f"from dataclasses import dataclass\nfrom un_lightning.config import *\n{head}\n"
        f"@dataclass\nclass Config(AnalysisConfig):\n    '''Mine.'''\n    {body}\nMINE = {declaration}\n"
    }


BROKEN = {
    "no module": ("nothing.here:MINE", {}, "nothing.here:MINE cannot be imported (ModuleNotFoundError"),
    "no name": ("mine:YOURS", analysis("kind: str = 'mine'"), "cannot be imported (AttributeError"),
    "a failure": ("mine:MINE", {"mine.py": "1 / 0"}, "cannot be imported (ZeroDivisionError"),
    "another type": ("mine:MINE", {"mine.py": "MINE = {}"}, "is no un_lightning.config.Declaration"),
    "no config": (
        "mine:MINE",
        analysis("kind: str = 'mine'", 'Declaration("mine:Other", "mine:run")'),
        "mine:Other cannot be imported (AttributeError",
    ),
    "no dataclass": (
        "mine:MINE",
        analysis("kind: str = 'mine'", "Declaration(type('C', (AnalysisConfig,), {}), 'mine:run')"),
        "is no dataclass that extends un_lightning.config.AnalysisConfig",
    ),
    "another class": (
        "mine:MINE",
        analysis("x: int = 1", "Declaration('mine:dict', 'mine:run')", "dict = dict"),
        "is no dataclass",
    ),
    "another kind": ("mine:MINE", analysis("kind: str = 'yours'"), "Config.kind is 'yours', but must be"),
    "a bad field": ("mine:MINE", analysis("kind: str = 'mine'\n    x: set = None"), "no config can hold"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package_is_named_and_the_others_go_on(installed, capsys, case):
    place, files, message = BROKEN[case]
    installed("their-pkg", {"analyses": {"mine": place}}, files)
    assert composed().kind == "correlation"
    said = capsys.readouterr().err
    assert said.count("warning: ") == (case == "no module")
    with pytest.raises(SystemExit) as stop:
        cli.launch("run", ["experiment=tiny/universality", "analysis=mine"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1
    assert "'mine' in un_lightning.analyses of the package their-pkg cannot be used: " in said
    assert message in said


RUNS = {
    "no module": ("mine.nothing:Run", "mine.nothing:Run cannot be imported (ModuleNotFoundError"),
    "no class": ("mine:Run", "mine:Run cannot be imported (AttributeError"),
    "no analysis": ("mine:Config", "is no subclass of un_lightning.analyses.base.Analysis"),
    "no function": ("mine:NUMBER", "mine:NUMBER cannot be called"),
}


@pytest.mark.parametrize("case", RUNS)
def test_what_carries_an_analysis_out_is_looked_at_before_any_model(installed, case):
    place, message = RUNS[case]
    installed(
        points={"analyses": {"mine": "mine:MINE"}},
        files=analysis("kind: str = 'mine'", f'Declaration("mine:Config", "{place}")', "NUMBER = 1"),
    )
    with pytest.raises(UserError, match="mine") as error:
        analysis_class(composed("analysis=mine"))
    assert message in str(error.value)


def test_settings_that_cannot_check_themselves(installed):
    checks = "kind: str = 'mine'\n    def __post_init__(self):\n        self.nothing.more"
    installed("their-pkg", {"analyses": {"mine": "mine:MINE"}}, analysis(checks))
    with pytest.raises(UserError, match="package their-pkg cannot check its settings .AttributeError: 'Conf"):
        composed("analysis=mine")


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("42", "report.<locals>.<lambda> returned a int, but must return Results"),
        ("Results(scalars={'x': [{1, 2}]})", "cannot be written down: Object of type set is not JSON"),
        (
            "Results(tables={'a/b': pd.DataFrame()})",
            "cannot be written down: 'a/b' cannot be the name of a table",
        ),
    ],
)
def test_results_that_are_none(installed, tmp_path, capsys, results, message):
    head = "import pandas as pd\nfrom un_lightning.results.results import Results\n"
    head += f"def report(*_): return lambda: {results}"
    declaration = "Declaration(Config, report, Way.report)"
    files = analysis("kind: str = 'mine'", declaration, head)
    installed(points={"analyses": {"mine": "mine:MINE"}}, files=files)
    with pytest.raises(SystemExit):
        cli.launch("run", ["analysis=mine", "name=their/tables", "logger=none", f"root={tmp_path}/runs"])
    assert message in capsys.readouterr().err
    assert not [*tmp_path.glob("runs/their/tables/2*")]


def test_a_name_that_is_taken_is_not_used_twice(installed, capsys):
    installed("first", {"analyses": {"mine": "mine:MINE", "weights": "mine:MINE"}}, {"mine.py": ""})
    installed("second", {"analyses": {"mine": "mine:OTHER"}, "measures": {"cka": "mine:CKA"}}, {})
    assert type(composed("analysis=weights")) is WeightsConfig
    composed()
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "warning: 'weights' in un_lightning.analyses of the package first is not used: un-lightning has one "
        "of that name already",
        "warning: 'mine' in un_lightning.analyses of the package second is not used: first has one of that "
        "name already",
        "warning: 'cka' in un_lightning.measures of the package second is not used: un-lightning has one of "
        "that name already",
    ]
    assert registry.kinds() == sorted([*OURS, "mine"])


def test_settings_without_words_or_limits_are_said_to_be(installed, capsys):
    files = analysis("kind: str = 'mine'\n    size: int = 1")
    installed(
        points={"analyses": {"mine": "mine:MINE"}},
        files={"mine.py": files["mine.py"].replace("'''Mine.'''", "")},
    )
    composed("analysis=mine")
    assert capsys.readouterr().err == (
        "warning: 'mine' in un_lightning.analyses of the package theirs-pkg: Config has no docstring and "
        "checks no limits of size in __post_init__\n"
    )


def test_settings_of_another_analysis_are_refused(installed):
    installed()
    with pytest.raises(
        UserError, match="kind is 'theirs', but the settings are a CorrelationConfig: choose anal"
    ):
        composed("analysis.kind=theirs")


def test_nothing_is_imported_to_list_what_there_is(installed):
    installed()
    assert "theirs" in registry.kinds()
    assert composed().kind == "correlation"
    assert "theirs" not in sys.modules
    assert composed("analysis=theirs", "analysis.power=3").power == 3
    assert "theirs.analysis" not in sys.modules


def test_yaml_files_come_from_the_package_or_from_ones_own_folder(installed, tmp_path):
    option = "defaults: [/schema/analysis: theirs, _self_]\npower: {}\n"
    installed(files=foreign.THEIRS | {"theirs/configs/analysis/theirs.yaml": option.format(4)})
    assert composed("analysis=theirs").power == 4
    installed(files={})
    (tmp_path / "site" / "theirs" / "configs" / "analysis" / "theirs.yaml").unlink()
    foreign.write(tmp_path / "own", {"analysis/theirs.yaml": option.format(5)})
    assert composed("analysis=theirs", "--config-dir", str(tmp_path / "own")).power == 5
    assert composed("analysis=theirs").power == 1


def test_reports_and_studies(installed, tmp_path, capfd):
    head = """
from un_lightning.results.results import Results
def report(config, seed):
    return lambda: Results(scalars={"answer": 42})
def study(config, plain, run):
    print("a study of", config.name)
@dataclass
class Other(AnalysisConfig):
    '''Another.'''
    kind: str = "other"
OTHER = Declaration(Other, study, Way.study)
"""
    installed(
        points={"analyses": {"mine": "mine:MINE", "other": "mine:OTHER"}},
        files=analysis("kind: str = 'mine'", "Declaration(Config, report, Way.report)", head),
    )
    common = ["name=their/tables", "logger=none", f"root={tmp_path}/runs"]
    cli.launch("run", ["analysis=mine", *common])
    summary = tmp_path / "runs" / "their" / "tables" / "latest" / "summary.json"
    assert '"answer": 42' in summary.read_text()
    cli.launch("run", ["analysis=other", *common])
    assert "a study of their/tables" in capfd.readouterr().out


def test_labels_of_a_package_by_the_name_of_its_entry_point(installed):
    installed()
    assert "rhyme" not in known_labels()
    assert known_labels(["rhymes"])["rhyme"] == ["ends_with/at"]
    labels = vocabulary_labels([" cat", " dog"], modules=["rhymes"]).of_kinds(["rhyme"])
    assert labels.matrix.tolist() == [[True], [False]]
    with pytest.raises(
        UserError, match="rhyme cannot be imported .* on the Python path.*, or be one of rhymes"
    ):
        known_labels(["rhyme"])
    installed(points={"labels": {"rhymes": "theirs.nothing"}})
    with pytest.raises(
        UserError, match="theirs.nothing cannot be .*the package theirs-pkg brings it as 'rhymes'"
    ):
        known_labels(["rhymes"])
