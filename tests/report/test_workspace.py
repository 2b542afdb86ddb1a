"""W&B's workspace, built and checked without a server."""

import json

import pytest

from tests.report.conftest import make_run, neuron_table
from un_lightning.config.declarations import OURS
from un_lightning.errors import UserError
from un_lightning.report.finished import find_runs
from un_lightning.report.main import main
from un_lightning.report.workspace import MATTERS, workspace


workspaces = pytest.importorskip("wandb_workspaces.workspaces", reason="wandb-workspaces is not installed")


@pytest.fixture
def built(tmp_path):
    """Two correlation runs, one of them a point of a sweep, and one of an analysis without favourites."""
    root = tmp_path / "runs"
    logger = {"logger": {"project": "mine", "entity": None}}
    scalars = {"universal/count": 3, "excess/mean": 0.2, "tokens": 5, "seconds": 1.5}
    make_run(root / "tiny" / "x" / "1", neuron_table(), ["excess"], scalars, data={"tokens": 10}, **logger)
    large = neuron_table(rows=12_000)
    make_run(root / "sweeps" / "s-1" / "0001", large, ["excess"], scalars, data={"tokens": 20}, **logger)
    other = {"analysis": "unheard of", "own/number": 1, "text": "a"}
    make_run(root / "tiny" / "y" / "1", None, ["own"], other, data={"tokens": 10}, **logger)
    words = [str(root / "tiny" / "x" / "1"), "s-1", str(root / "tiny" / "y" / "1")]
    return workspace(find_runs(words, root), "some runs")


def test_sections_follow_the_analyses(built):
    assert [section.name for section in built.sections] == ["differences", "correlation", "unheard of"]
    kinds = [[type(panel).__name__ for panel in section.panels] for section in built.sections]
    assert kinds == [
        ["RunComparer", "ScatterPlot"],
        ["BarPlot", "BarPlot", "MediaBrowser", "WeavePanelSummaryTable", "WeavePanelSummaryTable"],
        ["BarPlot", "MediaBrowser"],
    ]
    bars = [panel.title for panel in built.sections[1].panels[:2]]
    assert bars == ["universal/count", "excess/mean"]
    tables = [panel.table_name for panel in built.sections[1].panels[3:]]
    assert tables == ["tables/neurons", "tables/neurons_first_10000_of_12000"]
    assert built.sections[2].panels[0].title == "own/number"


def test_what_wandb_is_sent(built):
    model = json.loads(built._to_model().model_dump_json(by_alias=True))
    assert (model["project"], model["displayName"]) == ("mine", "some runs")
    text = json.dumps(model)
    for part in ('"config:data.value.tokens"', '"summary:universal/count"', '"figures/excess"', '"tokens"'):
        assert part in text
    filters = json.dumps(model["spec"]["section"]["runSets"][0]["filters"])
    assert '"name": "group"' in filters
    assert '["s-1", "tiny/universality"]' in filters


def test_it_survives_the_way_to_wandb_and_back(built):
    again = workspaces.Workspace._from_model(built._to_model())
    both = [[(section.name, len(section.panels)) for section in one.sections] for one in (again, built)]
    assert both[0] == both[1]


def test_runs_of_several_projects_have_no_workspace(tmp_path):
    for name in "ab":
        make_run(tmp_path / "x" / name, logger={"project": name})
    with pytest.raises(UserError, match="of several W&B projects: a, b"):
        workspace(find_runs([str(tmp_path / "x")], tmp_path), "x")


def test_the_command_saves_only_for_who_is_logged_in(runs, monkeypatch, tmp_path, capsys):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert main([str(runs), "--workspace"]) == 0
    assert "correlation: 4 panels" in capsys.readouterr().out
    assert main([str(runs), "--workspace", "--save"]) == 2
    assert "wandb login" in capsys.readouterr().err


def test_favourites_are_of_analyses_that_exist():
    assert {*MATTERS} <= {*OURS}
