"""Distributions against W&B's own sweep library, and against what their names say."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from un_lightning.errors import UserError
from un_lightning.sweeps.distributions import DISTRIBUTIONS, parameter


ENTRIES = {
    "constant": {"value": 3},
    "categorical": {"values": [1, "b", None]},
    "categorical_w_probabilities": {"values": ["a", "b", "c"], "probabilities": [0.2, 0.0, 0.8]},
    "int_uniform": {"min": -2, "max": 5},
    "uniform": {"min": -1.0, "max": 3.0},
    "q_uniform": {"distribution": "q_uniform", "min": 0.0, "max": 2.0, "q": 0.25},
    "log_uniform": {"distribution": "log_uniform", "min": -3.0, "max": 1.0},
    "q_log_uniform": {"distribution": "q_log_uniform", "min": 0.0, "max": 3.0, "q": 2},
    "log_uniform_values": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.5},
    "q_log_uniform_values": {"distribution": "q_log_uniform_values", "min": 1.0, "max": 50.0, "q": 0.5},
    "inv_log_uniform": {"distribution": "inv_log_uniform", "min": 0.0, "max": 2.0},
    "inv_log_uniform_values": {"distribution": "inv_log_uniform_values", "min": 0.1, "max": 2.0},
    "normal": {"distribution": "normal", "mu": 1.0, "sigma": 2.0},
    "q_normal": {"distribution": "q_normal", "mu": 1, "sigma": 2, "q": 1},
    "log_normal": {"distribution": "log_normal", "mu": 0.5, "sigma": 0.5},
    "q_log_normal": {"distribution": "q_log_normal", "mu": 0.5, "sigma": 0.5},
    "beta": {"distribution": "beta", "a": 2.0, "b": 5.0},
    "q_beta": {"distribution": "q_beta", "a": 2.0, "b": 5.0, "q": 0.1},
}


def test_every_distribution_is_tested():
    assert {*ENTRIES} == {*DISTRIBUTIONS}


@pytest.mark.parametrize("name", ENTRIES)
def test_quantiles_are_those_of_wandb(name):
    """Their own library, from which W&B's server draws, gives the same value at the same quantile."""
    from sweeps.params import HyperParameter

    theirs = HyperParameter("a", dict(ENTRIES[name]))
    ours = parameter(("a",), ENTRIES[name])
    assert ours.distribution == name
    for u in np.random.default_rng(0).random(200):
        expected, found = theirs.ppf(float(u)), ours.quantile(float(u))
        # Their values are numpy's; both compute in float64, by other formulas.
        assert found == (expected if isinstance(expected, str | None) else pytest.approx(expected, rel=1e-9))


@pytest.mark.parametrize("name", ENTRIES)
def test_values_are_plain_numbers_within_their_bounds(name):
    one = parameter(("a",), ENTRIES[name])
    low, high = ENTRIES[name].get("min"), ENTRIES[name].get("max")
    for u in (0.0, 0.3, 1 - 1e-12):
        value = one.quantile(u)
        json.dumps(value)
        assert type(value) in (int, float, str, type(None))
        if "log_uniform" not in name and low is not None:
            assert low <= value <= high
    assert one.edges()


@given(st.integers(-50, 50), st.integers(1, 60))
def test_whole_numbers_are_all_reached_and_equally_likely(low, width):
    one = parameter(("a",), {"min": low, "max": low + width})
    at = [one.quantile((k + 0.5) / (width + 1)) for k in range(width + 1)]
    assert at == list(range(low, low + width + 1)) == one.grid()


def test_probabilities_are_kept():
    one = parameter(("a",), ENTRIES["categorical_w_probabilities"])
    drawn = [one.quantile(u) for u in np.linspace(0, 1, 1000, endpoint=False)]
    assert [drawn.count(value) for value in "abc"] == [200, 0, 800]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "give it value, values, min and max"),
        ({"distribution": "unifrm", "min": 0}, "there is no distribution 'unifrm'"),
        ({"values": []}, "values is []"),
        ({"values": 3}, "values is 3"),
        ({"value": 1, "min": 0}, "constant has no 'min'"),
        ({"min": 2, "max": 1}, "min 2 is not below max 1"),
        ({"min": 0, "max": 1.0}, "an integer and a fraction"),
        (
            {"min": "1e-3", "max": "1"},
            "min is '1e-3', but uniform needs a number (1e-3 is text: write 1.0e-3)",
        ),
        (
            {"min": 0.5, "max": 1, "distribution": "int_uniform"},
            "min is 0.5, but int_uniform needs an integer",
        ),
        ({"min": 0.0, "max": 1.0, "distribution": "log_uniform_values"}, "needs one above 0"),
        ({"distribution": "uniform", "min": 0.0}, "uniform needs max"),
        ({"distribution": "q_normal", "q": 0}, "q is 0"),
        ({"distribution": "normal", "sigma": -1.0}, "sigma is -1.0"),
        ({"distribution": "beta", "a": 0}, "a and b are 0"),
        ({"values": [1, 2], "probabilities": [0.5, 0.4]}, "add up to 1"),
        ({"values": [1, 2], "probabilities": [1.0]}, "one a value"),
    ],
)
def test_mistakes_name_the_key(entry, message):
    with pytest.raises(UserError) as caught:
        parameter(("data", "tokens"), entry)
    assert str(caught.value).startswith("data.tokens: ")
    assert message in str(caught.value)
