"""Everything that the published tables say is recomputed, where they are at hand."""

import json
from pathlib import Path

import pandas as pd
import pytest

from un_lightning.analyses.properties.published import PublishedReport, agrees, check_table
from un_lightning.analyses.properties.published_quantities import by_layer, describe
from un_lightning.config import PublishedConfig
from un_lightning.errors import UserError


TABLES = Path(__file__).parents[4] / "shared" / "published"
present = pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published tables are not at {TABLES}")
CHECKS = json.loads((TABLES / "ground_truth.json").read_text())["csv_checks"] if TABLES.is_dir() else []


@pytest.fixture(scope="module")
def report():
    return PublishedReport(PublishedConfig(tables=str(TABLES)), seed=0)


@pytest.fixture(scope="module")
def found(report):
    return report.quantities()


@present
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check["name"])
def test_a_published_number_is_recomputed(check, found):
    ours = found.get(check["name"])
    assert agrees(check["value"], ours, check.get("tolerance", 0)), f"{check['value']} but {ours}"


@present
def test_the_report_says_so(report):
    results = report()
    assert results.tables["checks"]["passed"].all()
    assert results.scalars["checks/passed"] == results.scalars["checks/count"] == len(CHECKS)
    counts = [results.scalars[f"universal/count/{name}"] for name in ("small", "medium", "pythia")]
    assert counts == [1533, 1211, 465]
    assert dict(results.headline)["Published numbers recomputed"] == f"{len(CHECKS)} of {len(CHECKS)} agree"
    assert {*results.figures} == {"universal_by_layer", "medians_by_depth"}


@present
def test_the_tables_alone_give_the_same_numbers(found, report, tmp_path):
    for folder in TABLES.iterdir():
        if folder.is_dir():
            (tmp_path / folder.name).symlink_to(folder)
    alone = PublishedReport(PublishedConfig(tables=str(tmp_path)), seed=0)
    alone_found = alone.quantities()
    assert {name: value for name, value in found.items() if name in alone_found} == alone_found
    lacking = {*found} - {*alone_found}
    assert lacking == {
        f"{model}.membership.{name}"
        for model in ("small", "medium", "pythia")
        for name in report.truth["families"]
    }
    checks = check_table(alone.truth.get("csv_checks", []), alone_found)
    assert len(checks) == 0
    assert checks.columns.tolist() == report().tables["checks"].columns.tolist()
    line = dict(alone().headline)["Published numbers recomputed"]
    assert line.endswith("no ground_truth.json beside the tables to compare them with")


@present
def test_older_runs_are_set_beside_the_newer_one(found):
    assert found["small_high.max_abs_diff_max_corr_vs_universal"] == pytest.approx(0.0934, abs=5e-5)
    assert found["small_high.excess_rule_max_abs_err"] == pytest.approx(0.00056, abs=5e-6)
    assert found["small.membership.position_fig19_subgaussian"] == [20, 20]


@pytest.mark.parametrize(
    ("published", "ours", "same"),
    [
        (1, 1.0, True),
        (1.0, 1.0 + 1e-6, False),
        (True, True, True),
        (True, 1, True),
        (1, None, False),
        ([1, [2, 3]], [1, [2, 3]], True),
        ([1, 2], [1], False),
        ([1.0], [1.00005], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([], [], True),
        ([0.5], 0.5, False),
    ],
)
def test_values_are_compared_at_any_depth(published, ours, same):
    assert agrees(published, ours, 1e-9) is same


def test_tolerance_is_absolute():
    assert agrees([2.0, 3.0], [2.00009, 3.0], 1e-4)
    assert not agrees([2.0, 3.0], [2.0002, 3.0], 1e-4)


def test_what_is_not_recomputed_does_not_pass():
    checks = [
        {"name": "x", "file": "f", "expression": "rows", "value": 3, "tolerance": 0},
        {"name": "y", "file": "f", "expression": "all", "value": True},
    ]
    table = check_table(checks, {"y": True})
    assert table["passed"].tolist() == [False, True]
    assert table["recomputed"].tolist() == ["null", "true"]


def test_a_missing_folder_or_table_is_named(tmp_path):
    with pytest.raises(UserError, match="analysis.tables is not set: set analysis.tables to the folder"):
        PublishedReport(PublishedConfig(), seed=0)
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        PublishedReport(PublishedConfig(tables=str(tmp_path / "nowhere")), seed=0)
    with pytest.raises(UserError, match=r"there is no .*stanford-gpt2-small-a/universal\.csv"):
        PublishedReport(PublishedConfig(tables=str(tmp_path)), seed=0)


def test_distributions_are_those_of_pandas():
    values = pd.Series([3.0, 1.0, 4.0, 1.0, 5.0])
    expected = values.describe()[["mean", "std", "min", "25%", "50%", "75%", "max"]]
    assert describe(values) == pytest.approx(expected.tolist())
    assert by_layer(pd.Series([0, 2, 2]), 4) == [1, 0, 2, 0]
