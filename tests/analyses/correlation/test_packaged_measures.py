"""A measure of another package in the correlation analysis."""

import numpy as np
import pytest

from tests import foreign
from tests.analyses.correlation.test_analysis import family, gpt2
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import CorrelationConfig
from un_lightning.errors import UserError


def analysis(*measures):
    config = CorrelationConfig(measures=[*measures], draws=1, jackknife=0)
    return CorrelationAnalysis(config, family(a=gpt2(0), b=gpt2(1)), seed=0)


def test_a_measure_of_a_package(installed, validate):
    installed()
    results = validate(analysis("mutual", "strongest"))
    table, neurons = results.tables["measures"], results.tables["neurons"]
    # The largest absolute correlation is the largest or the smallest one.
    own = results.tables["summaries"].query("model == 'a'")
    np.testing.assert_allclose(
        table.query("model == 'a'")["strongest"], own[["max", "min"]].abs().max(axis=1), atol=1e-6
    )
    np.testing.assert_allclose(neurons["strongest"], table["strongest"])
    assert results.scalars["strongest/score"] == pytest.approx(
        table.query("model == 'a'")["strongest"].mean()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("STRONGEST = Measure", "STRONGEST = dict"),
            "theirs.measure:STRONGEST is no Measure named 'strongest'",
        ),
        (('name="strongest"', 'name="weakest"'), "theirs.measure:STRONGEST is no Measure named 'strongest'"),
        (
            ("torch.cat(tiles)", "torch.cat(tiles)[1:]"),
            "the measure 'strongest' fails: ValueError: values of shape",
        ),
        ((".abs().amax(1)", ".nothing()"), "the measure 'strongest' fails: AttributeError"),
    ],
)
def test_a_measure_that_cannot_be_used(installed, validate, change, message):
    installed(files=foreign.THEIRS | {"theirs/measure.py": foreign.MEASURE.replace(*change)})
    with pytest.raises(UserError) as error:
        validate(analysis("strongest"))
    assert message in str(error.value)


def test_measures_are_known_by_name(installed):
    with pytest.raises(ValueError, match="holds 'strongest', but allowed are cosine, jaccard, cka"):
        CorrelationConfig(measures=["strongest"])
    installed()
    assert CorrelationConfig(measures=["strongest"]).gram_models([("a", "b")]) == {"a", "b"}
