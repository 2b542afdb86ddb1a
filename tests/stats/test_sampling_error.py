"""Errors over draws and models against loops, and the coverage of intervals that have several errors."""

import numpy as np
import pytest

from tests.reference import chance as reference
from un_lightning.stats.sampling_error import (
    SamplingError,
    leave_one_out_error,
    over_draws,
    over_members,
    reach,
)


@pytest.mark.parametrize(("others", "draws"), [(1, 2), (1, 3), (4, 3), (3, 10)])
def test_errors_equal_loops(others, draws):
    drawn = np.random.default_rng(others * draws).normal(size=(others, draws, 7))
    found = over_draws(drawn)
    np.testing.assert_allclose(found.stderr, reference.mean_over_draws(drawn)[1], rtol=1e-12)
    assert found.degrees == others * (draws - 1)
    if others > 1:
        members = over_members(drawn[:, 0])
        np.testing.assert_allclose(members.stderr, reference.leave_one_model_out(drawn[:, 0]), rtol=1e-12)
        assert members.degrees == others - 1
        without = np.array([np.delete(drawn[:, 0, 0], one).mean() for one in range(others)])
        assert leave_one_out_error(without) == pytest.approx(members.stderr[0], rel=1e-12)


def test_what_was_seen_once_has_no_error():
    assert np.isnan(over_draws(np.ones((4, 1, 3))).stderr).all()
    assert np.isnan(over_members(np.ones((1, 3))).stderr).all()
    assert np.isnan(leave_one_out_error(np.ones(1)))
    once = over_draws(np.ones((4, 1, 3)))
    assert np.isnan(reach([SamplingError(np.ones(3), 19), once], 0.95)).all()


@pytest.mark.parametrize("text", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize(("others", "draws"), [(1, 2), (1, 3), (4, 3)])
def test_intervals_cover_what_they_state(others, draws, text):
    """Extreme values as draws, text with 19 degrees of freedom: 93 % at least, whichever error is larger.

    Draws that were given the text's degrees of freedom would cover 70 to 92 % where they dominate.
    """
    generator, size = np.random.default_rng(others + draws), 20_000
    drawn = generator.gumbel(size=(others, draws, size)) - np.euler_gamma
    scale = text * np.pi / np.sqrt(6 * others * draws)
    error = SamplingError(scale * np.sqrt(generator.chisquare(19, size) / 19), 19)
    off = drawn.mean((0, 1)) + scale * generator.normal(size=size)
    covered = (np.abs(off) < reach([error, over_draws(drawn)], 0.95)).mean()
    assert 0.93 < covered < 0.99
