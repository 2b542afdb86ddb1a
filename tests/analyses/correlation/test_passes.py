"""Several passes over the text find what one pass finds."""

import numpy as np
import pandas as pd
import pytest

from tests.analyses.correlation.test_analysis import family, gpt2
from un_lightning.analyses.base import Plan
from un_lightning.analyses.correlation import analysis as correlation
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import Baseline, CorrelationConfig, MeasureName, Pairs


def models():
    return family(a=gpt2(0), b=gpt2(1, layers=3), c=gpt2(2, inner=40))


def found(validate, monkeypatch, passes, **settings):
    monkeypatch.setattr(correlation, "plan_memory", lambda *_, **__: Plan(passes))
    settings = {"draws": 2, "pairs": Pairs.all, "jackknife": 5, "top_k": 4} | settings
    analysis = CorrelationAnalysis(CorrelationConfig(**settings), models(), seed=0)
    results = validate(analysis)
    assert analysis.current + 1 == analysis.passes == results.scalars["passes"] == passes
    return results


def assert_same(results, others):
    """To float32's rounding: a product of fewer rows may be added up in another order."""
    assert results.tables.keys() == others.tables.keys()
    for name, table in others.tables.items():
        pd.testing.assert_frame_equal(results.tables[name], table, rtol=0, atol=2e-6, obj=name)
    for name, value in others.scalars.items():
        if name != "passes":
            np.testing.assert_allclose(results.scalars[name], value, atol=2e-6) if isinstance(
                value, float
            ) else None


@pytest.mark.parametrize("baseline", [Baseline.rotation, Baseline.permutation, Baseline.noise])
@pytest.mark.parametrize("passes", [2, 3, 7])
def test_pairs_and_parts_of_pairs_in_turn(validate, monkeypatch, passes, baseline):
    """Three pairs; the seven layers of their row models one by one. A part knows its own candidates alone,
    so all partners are candidates here."""
    whole, parts = (
        found(validate, monkeypatch, number, baseline=baseline, candidates=192) for number in (1, passes)
    )
    assert_same(parts, whole)


def test_measures_that_need_whole_pairs(validate, monkeypatch):
    settings = {"measures": list(MeasureName), "full_gram": True}
    whole, parts = (found(validate, monkeypatch, number, **settings) for number in (1, 3))
    assert_same(parts, whole)


def test_a_state_between_two_passes_holds_what_the_first_found(validate, monkeypatch, tmp_path):
    """Saved when the second pass begins, as after every further batch, and taken up by another process."""
    saved = {}
    begin = CorrelationAnalysis.begin_pass

    def keep(self):
        begin(self)
        if self.current == 1:
            saved.update({name: tensor.clone() for name, tensor in self.state().items()}, known=self.known)

    monkeypatch.setattr(CorrelationAnalysis, "begin_pass", keep)
    settings = {"measures": list(MeasureName), "jackknife": 5}
    whole = found(validate, monkeypatch, 2, **settings)
    monkeypatch.setattr(CorrelationAnalysis, "begin_pass", begin)
    config = CorrelationConfig(draws=2, pairs=Pairs.all, top_k=4, **settings)
    later = CorrelationAnalysis(config, models(), seed=0)
    later.continue_from(saved.pop("known"), saved, 1)
    assert_same(validate(later), whole)
