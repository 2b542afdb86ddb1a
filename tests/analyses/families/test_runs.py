"""The families analysis as a run: on two ranks, and killed in either reading."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.small_runs import KILL, Runs


NUMBERS = [
    "vr",
    "kurt",
    "eta2_position",
    "position_mi",
    "eta2_token",
    "eta2_previous",
    "auroc",
    "f1",
    "vr_low",
]


def family_runs(folder, data, world=1):
    """Runs of the families experiment on random models."""
    settings = ["analysis.min_count=10", "analysis.labels.unigram_occurrences=10", "analysis.shown=2"]
    return Runs(folder, data, world, experiment="tiny/families", settings=settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_text):
    runs = family_runs(tmp_path_factory.mktemp("whole"), small_text)
    assert runs.go() == [0], runs.output.read_text()
    return runs.folders[0]


def assert_same(folder, other):
    """Sums in float32 in another order: 1e-5 of a share of the variance."""
    found, wanted = (pd.read_parquet(path / "tables" / "neurons.parquet") for path in (folder, other))
    assert (wanted["valid"] & wanted["auroc"].notna()).sum() > 50
    keys = ["model", "layer", "neuron", "valid", "family"]
    pd.testing.assert_frame_equal(found[keys], wanted[keys])
    np.testing.assert_allclose(found[NUMBERS], wanted[NUMBERS], rtol=1e-4, atol=1e-5)
    found, wanted = (pd.read_parquet(path / "tables" / "examples.parquet") for path in (folder, other))
    assert (found["text"] == wanted["text"]).all()
    found, wanted = (json.loads((path / "summary.json").read_text()) for path in (folder, other))
    assert found.keys() == wanted.keys()
    for key in ("tokens", "counted_tokens", "labels/compared", "neurons/invalid", "families/unexplained"):
        assert found[key] == wanted[key]


@pytest.mark.slow
def test_two_ranks_give_what_one_gives(tmp_path, small_text, whole):
    runs = family_runs(tmp_path, small_text, world=2)
    assert runs.go(interruptions=[None, None]) == [0, 0], runs.output.read_text()
    assert_same(runs.folders[0], whole)


@pytest.mark.slow
def test_killed_in_either_reading(tmp_path, small_text, whole):
    runs = family_runs(tmp_path, small_text)
    for call in (3, 9):  # of the eight batches of each reading; the second one begins with a save, too
        code = runs.go("resume=auto", interruptions=[("after saving", call, KILL)])
        assert code == [-KILL], runs.output.read_text()
    saved = list(runs.root.glob("resumed/2*/partial/pass1/rank0.json"))
    assert len(saved) == 1
    assert runs.go("resume=auto") == [0], runs.output.read_text()
    (folder,) = runs.folders
    assert_same(folder, whole)
