"""What a run says about chance: its errors against loops, and models that share nothing."""

import numpy as np
import pandas as pd
import pytest

from tests.analyses.correlation.test_analysis import captured, counted, family, gpt2
from tests.reference import chance as reference
from tests.reference.support import support
from un_lightning.analyses import make_analysis
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.analyses.correlation.excess import Compared, excess_bounds
from un_lightning.analyses.correlation.intervals import WithoutEach
from un_lightning.analyses.correlation.summary import Found, correlation_headline, correlation_scalars
from un_lightning.config import Baseline, CorrelationConfig, Method, Site
from un_lightning.models.units import Units


def compared(others=3, draws=3, units=200, seed=0):
    generator = np.random.default_rng(seed)
    drawn = generator.normal(0.3, 0.02, (others, draws, units))
    return Compared(drawn.mean(1) + generator.normal(0.5, 0.1, (others, units)), drawn)


def rows(values, model="a"):
    """A table of neurons as far as the summary reads it."""
    excess = values.excess.mean(0)
    table = pd.DataFrame({"model": model, "valid": True, "followed": True, "excess_corr": excess})
    table["mean_corr"], table["mean_baseline"] = values.corr.mean(0), values.drawn.mean((0, 1))
    table["universal"], table["q_chance"], table["corr_stderr"] = excess > 0.5, 0.01, 0.02
    table["split_corr"], table["rare"] = table["mean_corr"], False
    return table.join(excess_bounds(table, values, 19, 0.95))


def test_every_error_is_that_of_the_number_beside_it():
    values = compared()
    table, groups = rows(values), 10
    without = values.corr.mean(0) + np.random.default_rng(1).normal(0, 0.005, (groups, 200))
    found = Found(table, "a", values, 1000, WithoutEach(without, np.full(groups, 100.0)))
    scalars = correlation_scalars(CorrelationConfig(), found)
    assert scalars["baseline/stderr"] == pytest.approx(
        reference.mean_over_draws(values.drawn.mean(2))[1], rel=1e-10
    )
    seeds = reference.leave_one_model_out(values.excess.mean(1))
    assert scalars["excess/stderr_seeds"] == pytest.approx(seeds, rel=1e-10)
    percent = [100 * (np.delete(values.excess, one, 0).mean(0) > 0.5).mean() for one in range(3)]
    by_hand = np.sqrt(2 / 3 * np.sum((percent - np.mean(percent)) ** 2))
    assert scalars["universal/percent_stderr_seeds"] == pytest.approx(by_hand, rel=1e-10)
    of_groups = lambda each: np.sqrt(0.9 * np.sum((each - each.mean()) ** 2))
    text = of_groups(without.mean(1))
    assert scalars["max_corr/stderr"] == pytest.approx(text, rel=1e-8)
    assert scalars["excess/stderr"] == pytest.approx(np.hypot(text, scalars["baseline/stderr"]), rel=1e-8)
    above = 100 * (without - values.drawn.mean((0, 1)) > 0.5).mean(1)
    assert scalars["universal/percent_stderr"] == pytest.approx(of_groups(above), rel=1e-8)
    named = {line.split(":")[0] for line in scalars["errors"]}
    assert named == {name for name in scalars if "stderr" in name}
    headline = correlation_headline(scalars, "a", Units("a", Site.mlp_post, (200,)), Baseline.rotation)
    for _, value in headline:
        assert value.count(" ± ") == value.count(" over ")


def test_the_baselines_error_shrinks_with_the_units_that_it_is_a_mean_of():
    values = compared(units=2000)
    scalars = correlation_scalars(CorrelationConfig(), Found(rows(values), "a", values, 1000))
    assert scalars["baseline/stderr"] < 0.2 * np.median(reference.mean_over_draws(values.drawn)[1])


def test_one_draw_and_one_other_model_leave_errors_unknown_and_say_nothing_of_them():
    values = compared(others=1, draws=1)
    scalars = correlation_scalars(CorrelationConfig(), Found(rows(values), "a", values, 1000))
    assert np.isnan([scalars["baseline/stderr"], scalars["excess/stderr_seeds"]]).all()
    headline = correlation_headline(scalars, "a", Units("a", Site.mlp_post, (200,)), Baseline.rotation)
    assert not any("nan" in value for _, value in headline)


def test_random_models_are_at_most_five_percent_above_chance(validate):
    """They share the text, and units that are no rotation of each other: a few exceed what rotations give."""
    models = family(**{name: gpt2(seed) for seed, name in enumerate("abcd")})
    results = validate(CorrelationAnalysis(CorrelationConfig(candidates=128), models, seed=0))
    neurons, scalars = results.tables["neurons"], results.scalars
    assert (neurons["q_chance"] < 0.05).mean() <= 0.05
    assert scalars["excess/above_chance_percent"] <= 5
    assert scalars["universal/above_chance"] == 0
    own = neurons.query("model == 'a'")
    assert (own["excess_low_seeds"] < own["excess_low"]).mean() > 0.5
    assert (own["excess_low_seeds"] > 0).mean() <= 0.05


def test_copies_are_above_chance(validate):
    results = validate(CorrelationAnalysis(CorrelationConfig(), family(a=gpt2(0), b=gpt2(0)), seed=0))
    scalars = results.scalars
    assert scalars["universal/count"] > 0
    assert scalars["universal/above_chance"] == scalars["universal/count"]


@pytest.mark.parametrize("method", list(Method))
def test_support_equals_brute_force(validate, tokens, method):
    """Tokens, documents and effective tokens, of both methods; fourth powers are float32."""
    models = {"a": gpt2(0), "b": gpt2(1)}
    config = CorrelationConfig(method=method, sample=320, active_above=0.4)
    results = validate(make_analysis(config, family(**models), 0), 7)
    table = results.tables["neurons"].query("model == 'a'").reset_index()
    document = np.repeat(np.arange(len(tokens))[:, None], tokens.shape[1], axis=1)  # each block is one here
    expected = support(captured(models["a"], tokens), 0.4, document[counted(tokens)])
    for column in ("support_tokens", "support_documents"):
        np.testing.assert_array_equal(table[column], expected[column])
    np.testing.assert_allclose(table["effective_tokens"], expected["effective_tokens"], rtol=1e-4)
    scalars = results.scalars
    own = table["universal"]
    assert (scalars["neurons/rare"], scalars["universal/rare"]) == (
        table["rare"].sum(),
        (table["rare"] & own).sum(),
    )


def test_a_unit_that_fires_on_one_token_is_universal_and_says_so():
    values = compared()
    table = rows(values)
    table["rare"] = np.arange(len(table)) < 100
    scalars = correlation_scalars(CorrelationConfig(), Found(table, "a", values, 1000))
    assert scalars["universal/rare"] == table["universal"][:100].sum()
    headline = correlation_headline(scalars, "a", Units("a", Site.mlp_post, (200,)), Baseline.rotation)
    assert f"{scalars['universal/rare']} of them rest on few tokens" in headline[0][1]
