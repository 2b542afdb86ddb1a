"""Activations at every token around an example, against captured activations."""

import numpy as np
import pandas as pd
import pytest

from tests.analyses.activations.test_analysis import NEURONS, SETTINGS, captured, family, path, text  # noqa: F401 - fixtures
from tests.analyses.conftest import CONTEXT
from tests.small_runs import KILL, Runs
from un_lightning.analyses.activations.analysis import ActivationsAnalysis
from un_lightning.config import ActivationsConfig, Site


@pytest.fixture
def examples(validate, path):  # noqa: F811
    def run(batch_size=8, **settings):
        config = ActivationsConfig(**SETTINGS | {"example_values": True} | settings)
        analysis = ActivationsAnalysis(config, family(), seed=5)
        results = validate(analysis, batch_size=batch_size, path=path)
        assert analysis.current + 1 == analysis.passes
        return results.tables

    return run


def check(table, post):
    """Every window is the captured one: the values come from the same forward pass, in batches of another
    size, whose products round differently in float32."""
    assert {*table["kind"]} == {"top", "sample"}
    for row in table.itertuples():
        start = row.block * CONTEXT + row.position - row.at
        wanted = post[start : start + len(row.context), row.layer * NEURONS + row.neuron]
        np.testing.assert_allclose(row.values, wanted, rtol=1e-4, atol=1e-5)
        assert row.values[row.at] == pytest.approx(row.value, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_windows_are_those_of_the_forward_pass(examples, text, batch_size):  # noqa: F811
    tables = examples(batch_size)
    table = tables["examples"]
    lengths = {len(row) for row in table["values"]}
    assert max(lengths) == SETTINGS["before"] + 1 + SETTINGS["after"]
    assert min(lengths) < max(lengths)  # some stand at a border of their block
    check(table, captured(text, Site.mlp_post))


def test_single_neurons_and_several_readings(examples, text):  # noqa: F811
    post = captured(text, Site.mlp_post)
    table = examples(neurons=["L0.3", "L1.11"])["examples"]
    assert {*zip(table["layer"], table["neuron"], strict=True)} == {(0, 3), (1, 11)}
    check(table, post)
    check(examples(memory_gb=0.000375)["examples"], post)  # a reading for each of two layers, and this one


def test_without_a_sample_and_without_tokens(examples):
    table = examples(examples_per_bin=0, top_tokens=0)["examples"]
    assert {*table["kind"]} == {"top"}
    assert all(
        values[at] == pytest.approx(value, rel=1e-4, abs=1e-5)
        for values, at, value in zip(table["values"], table["at"], table["value"], strict=True)
    )


def test_texts_cover_all_contexts(examples):
    tables = examples()
    texts = tables["texts"].set_index("token_id")["text"]
    assert texts.index.is_unique
    contexts = np.concatenate(tables["examples"]["context"].tolist())
    assert {*texts.index} == {*contexts.tolist()}
    row = tables["examples"].iloc[0]
    assert texts[row["context"][row["at"]]] == row["token"]


@pytest.mark.slow
def test_two_ranks_and_a_kill_in_the_last_reading(tmp_path, small_text):
    settings = ["analysis.pilot=4", "analysis.sample=64"]
    whole, shared, killed = (
        Runs(tmp_path / name, small_text, world, experiment="tiny/activations", settings=settings)
        for name, world in (("a", 1), ("b", 2), ("c", 1))
    )
    assert whole.go() == [0], whole.output.read_text()
    assert shared.go(interruptions=[None, None]) == [0, 0], shared.output.read_text()
    assert killed.go("resume=auto", interruptions=[("after saving", 12, KILL)]) == [-KILL]
    assert list(killed.root.glob("resumed/2*/partial/pass1/rank0.json"))
    assert killed.go("resume=auto") == [0], killed.output.read_text()
    wanted = pd.read_parquet(whole.folders[0] / "tables" / "examples.parquet")
    assert len(wanted) > 100
    for runs in (shared, killed):
        found = pd.read_parquet(runs.folders[0] / "tables" / "examples.parquet")
        for name in ("block", "position", "at"):
            assert (found[name] == wanted[name]).all()
        for own, other in zip(found["values"], wanted["values"], strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)  # float32 in batches of another size
