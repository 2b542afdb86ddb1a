"""The replication: published values, our numbers from finished runs, the page, the study on random models."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.faults.table import leave_out_figures
from tests.processes import finish, free_port, start
from tests.small_runs import Runs, run
from un_lightning.config import ReplicateConfig
from un_lightning.errors import UserError
from un_lightning.results.results import Results
from un_lightning.studies.replication.ours import Ours
from un_lightning.studies.replication.page import comparison_table, html_page, markdown_page, verdict_counts
from un_lightning.studies.replication.published import (
    Published,
    Verdict,
    published_models,
    published_values,
    within,
)


TRUTH = Path("/work/shared/published/ground_truth.json")


def value(name="neuron_table/universal/count", value=10, tolerance=1.0, is_range=False):
    return Published(name, "what", "where", value, tolerance, is_range, "")


@pytest.mark.parametrize(
    ("published", "ours", "tolerance", "agrees"),
    [
        (4.1585, 4.30, 0.15, True),
        (4.1585, 4.31, 0.15, False),
        (10, 11, 1, True),  # the edge of a tolerance is inside, whatever binary fractions make of it
        (0.3, 0.1, 0.2, True),
        ([1, None, 3], [1, 99, 3.05], 0.1, True),
        ([1, None, 3], [1, 99, 3.2], 0.1, False),
        ([1, 2], [1, 2, 3], 1, False),
        ([[1, None], [3, 4]], [[1, 0], [3, 4]], 0, True),
        (1.0, None, 1, False),
        (1.0, float("nan"), 1, False),
        ([1.0], 1.0, 1, False),
    ],
)
def test_what_agrees(published, ours, tolerance, agrees):
    assert within(published, ours, tolerance) is agrees


def test_verdicts():
    assert value().verdict(11) is Verdict.passed
    assert value().verdict(12) is Verdict.failed
    assert value().verdict(None) is Verdict.missing
    assert value(tolerance=None).verdict(11) is Verdict.not_comparable
    between = value(value=[1201, 1300], tolerance=None, is_range=True)
    assert [between.verdict(ours) for ours in (1200, 1201, 1300, 1301)] == [
        Verdict.failed, Verdict.passed, Verdict.passed, Verdict.failed,
    ]  # fmt: skip


@pytest.mark.parametrize("model", ["stanford-gpt2-small-a", "stanford-gpt2-medium-a", "pythia-160m"])
def test_published_values_are_well_formed(model):
    values = published_values(model)
    assert len({one.name for one in values}) == len(values) > 40
    assert all(one.what and one.where for one in values)
    assert all(one.verdict(one.value) is Verdict.passed for one in values if one.tolerance is not None)
    with pytest.raises(UserError, match="analysis.published is 'x', but published are values of stanford"):
        published_values("x")


@pytest.mark.skipif(not TRUTH.exists(), reason="needs the paper's ground truth")
def test_published_values_are_those_of_the_paper():
    truth = json.loads(TRUTH.read_text())
    checks = {check["name"]: check["value"] for check in truth["csv_checks"]}
    names = {"small": "stanford-gpt2-small-a", "medium": "stanford-gpt2-medium-a", "pythia": "pythia-160m"}
    assert [*names.values()] == published_models()
    for short, model in names.items():
        own = {one.name: one.value for one in published_values(model)}
        by_layer = checks[f"{short}.count_by_layer"]
        assert own["neuron_table/universal/by_layer"] == by_layer
        assert own["neuron_table/universal/count"] == sum(by_layer)
        for column in ("kurt", "sparsity"):
            if f"{short}.describe.{column}" in checks:
                mean = checks[f"{short}.describe.{column}"][0]
                assert own[f"neuron_table/universal/mean/{column}"] == pytest.approx(mean, rel=1e-5)
    printed = {(one["name"], one["model"]): one["value"] for one in truth["published"]}
    for short in ("small", "medium"):
        own = {one.name: one.value for one in published_values(names[short])}
        curves = printed["entropy_intervention", names[short]]
        neuron = "L11.3030" if short == "small" else "L23.945"
        assert own[f"entropy/{neuron}/scale"] == curves[neuron]["scale"]
        change = np.array(curves[neuron]["entropy"]) - curves["nominal"]["entropy"]
        np.testing.assert_allclose(own[f"entropy/{neuron}/entropy/change"], change, atol=1e-5)


@pytest.fixture
def runs(tmp_path):
    """Finished runs with hand-made tables, whose numbers are known."""
    neurons = pd.DataFrame({
        "model": "a", "layer": [0, 0, 1, 1], "neuron": [0, 1, 0, 1], "valid": True,
        "max_corr": [0.9, 0.4, 0.8, 0.3], "min_corr": [0.8, 0.1, 0.7, 0.2],
        "max_baseline": [0.1, 0.2, 0.3, 0.2],
        "excess_corr": [0.75, 0.1, 0.55, 0.0], "universal": [True, False, True, False],
        "kurt": [1.5, 3.0, 9.0, 3.0], "skew": [1.0, 0.0, -1.0, 0.0], "input_bias": [-1.0, 0.0, 1.0, 0.0],
        "sparsity": [0.01, 0.5, 0.1, 0.5], "sparsity_paper": [0.03, 0.6, 0.1, 0.6],
        "vocab_kurt": [20.0, 3.0, 30.0, 40.0], "vocab_skew": [1.0, 0.0, -1.0, 0.0],
        "l2_penalty": [3.0, 1.0, 2.0, 4.0],
    })  # fmt: skip
    match = pd.DataFrame(
        [("a", 0, 0, 0.9), ("a", 0, 1, 0.1), ("a", 1, 0, 0.2), ("a", 1, 1, 0.8), ("b", 0, 0, 1.0)],
        columns=["model", "layer", "match_layer", "fraction"],
    )
    Results(tables={"layer_match": match.sample(frac=1, random_state=0)}).write(tmp_path / "correlation")
    scalars = {
        "universal/count": 2, "universal/percent": 50.0, "parts/correlation": str(tmp_path / "correlation")
    }  # fmt: skip
    Results(scalars=scalars, tables={"neurons": neurons}).write(tmp_path / "neuron_table")
    values = [-0.17, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    curves = pd.DataFrame({
        "model": "a", "layer": 1, "neuron": 0, "metric": "entropy", "value": values,
        "mean": np.arange(8) + 2.0,
    })  # fmt: skip
    untouched = pd.DataFrame({"metric": ["entropy"], "mean": [1.5]})
    Results(tables={"curves": curves, "untouched": untouched}).write(tmp_path / "entropy")
    members = neurons.assign(model="b", vocab_kurt=[30.0, 30.0, 3.0, 3.0])
    Results(tables={"neurons": pd.concat([neurons, members])}).write(tmp_path / "prediction")
    heads = pd.DataFrame({"score_min": [-2.0, -3.0], "score_max": [1.0, 2.0], "score_scale": [1.0, 0.5]})
    Results(tables={"heads": heads}).write(tmp_path / "attention")
    return {name: tmp_path / name for name in ("neuron_table", "entropy", "prediction", "attention")}


OURS = {
    "neuron_table/universal/count": 2,
    "neuron_table/universal/by_layer": [1, 1],
    "neuron_table/universal/strict": 1,  # 0.8 - 0.1; 0.7 - 0.3 is not above 0.5
    "neuron_table/excess/above_0.6": 1,
    "neuron_table/excess/max": 0.75,
    "neuron_table/range/all": (0.1 + 0.3 + 0.1 + 0.1) / 4,
    "neuron_table/range/universal": 0.1,
    "neuron_table/universal/mean/kurt": 5.25,
    "neuron_table/rest/mean/sparsity": 0.6,  # as the paper bins it
    "neuron_table/universal/share/bias_below_0": 0.5,
    "neuron_table/universal/kurt_below_2": 1,
    "neuron_table/universal/sparse": 0,
    "neuron_table/universal/vocab_kurt_above_10/all": 2,
    "neuron_table/universal/vocab_kurt_above_10/suppression": 1,
    "neuron_table/layer_match": [[90, 10], [20, 80]],
    "neuron_table/L1.0/excess_corr": 0.55,
    "neuron_table/L1.0/l2_penalty/rank": 3,
    "neuron_table/L1.0/l2_penalty/rank_from_below": 2,
    "neuron_table/L7.0/excess_corr": None,
    "neuron_table/no/such/scalar": None,
    "entropy/L1.0/entropy": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    "entropy/L1.0/entropy/change": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5],
    "entropy/L0.0/entropy": None,
    "prediction/kurt_above_10": 3,
    "prediction/kurt_above_10/by_layer": [1.5, 1.0],
    "attention/score/min": -6.0,
    "attention/score/max": 4.0,
    "families/alphabet": None,
}


@pytest.mark.parametrize("name", OURS)
def test_our_numbers(runs, name):
    found = Ours(runs, "a").value(name)
    assert found is None if OURS[name] is None else np.allclose(found, OURS[name])


def test_the_page(runs):
    published = [
        value("neuron_table/universal/count", 2, 0.0),
        value("neuron_table/universal/percent", 49.0, 0.5),
        value("neuron_table/layer_match", [[90, None], [25, 80]], 3.0),
        value("families/alphabet", 18, 3.0),
        value("entropy/L1.0/entropy", [2.0] * 8, None),
    ]
    table = comparison_table(Ours(runs, "a"), published)
    verdicts = table.set_index("name")["verdict"]
    assert verdicts["neuron_table/universal/count"] == "pass"
    assert verdicts["neuron_table/universal/percent"] == "fail"
    assert verdicts["neuron_table/layer_match"] == "fail"
    assert verdicts["families/alphabet"] == "not computed"
    assert verdicts["entropy/L1.0/entropy"] == "not comparable"
    assert verdicts["neuron_table/excess/max"] == ""
    assert verdict_counts(table) == {"pass": 1, "fail": 2, "not computed": 1, "not comparable": 1}
    hostile = {"neuron_table": "runs/<script>alert(1)</script>"}
    for page in (markdown_page("a | b", table, hostile), html_page("<b>&", table, hostile)):
        assert "1 of 3 values that can be compared agree within their tolerance" in page
        assert "49" in page
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;" in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"studies": ["neuron_table", "x"]}, "analysis.studies holds 'x'"),
        ({"studies": ["entropy"]}, "lacks neuron_table"),
        ({"data": {"properties": {"tokens": 1}}}, r"analysis\.data\.properties"),
        ({"data": {"entropy": {"seed": 1}}}, r"analysis\.data\.entropy\.seed is none of context, tokens"),
        ({"data": {"entropy": 5}}, "must be like"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ReplicateConfig(**settings)


SETTINGS = [
    "analysis.studies=[neuron_table,properties,ablation]",
    "analysis.neuron_table.correlation.threshold=0",
    "analysis.ablation.threshold=0",
    "analysis.ablation.draws=1",
    "analysis.ablation.top=8",
]  # all studies of all families: test_every_experiment.py


def quick(argv):
    """What a process does: a run without figures."""
    leave_out_figures(pytest.MonkeyPatch())
    run(argv)


def replication(folder, text, world=1, trainer="cpu"):
    """Replicate on random models, with one process or more; returns what was found, by name, and said."""
    own = Runs(folder, text, experiment="replicate/un_tiny", settings=SETTINGS)
    argv, output, port = [*own.argv, f"trainer={trainer}", "data.batch_size=4"], own.output, free_port()
    output.unlink(missing_ok=True)
    ranks = [start(quick, argv, output=output, rank=n, world=world, port=port) for n in range(world)]
    assert finish(*ranks) == [0] * world, output.read_text()
    table = pd.read_parquet(own.folders[-1] / "tables" / "replication.parquet").set_index("name")
    return {name: json.loads(ours) for name, ours in table["ours"].items()}, output.read_text()


@pytest.mark.slow
def test_two_ranks_find_what_one_finds(small_text, tmp_path):
    """One study after the other, of tables that the first rank has written; nothing is repeated."""
    found, said = replication(tmp_path / "two", small_text, 2, "ddp_cpu")
    assert [line.split(":")[0] for line in said.splitlines() if line.endswith("to be run")] == [
        "neuron_table", "correlation", "activations", "weights", "properties", "ablation",
    ]  # fmt: skip
    alone, _ = replication(tmp_path / "one", small_text)
    assert found.keys() == alone.keys()
    for name, wanted in alone.items():
        if wanted is None or found[name] is None:
            assert wanted is found[name], name
        else:  # float32 sums in another order
            np.testing.assert_allclose(found[name], wanted, rtol=1e-3, atol=1e-4, err_msg=name)
    again, said = replication(tmp_path / "two", small_text)
    assert "to be run" not in said
    assert said.count("taken from") == 3
    assert again == found
