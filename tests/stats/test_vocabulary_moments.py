"""Moments over the vocabulary against scipy, and what they must not depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import prediction as reference
from un_lightning.stats.vocabulary_moments import vocabulary_moments


def draw(seed=0, directions=7, width=12, tokens=301, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(directions, width, generator=generator, dtype=torch.float64)
    table = torch.randn(tokens, width, generator=generator, dtype=torch.float64) + offset
    frequency = torch.rand(tokens, generator=generator, dtype=torch.float64) ** 4
    return rows, table, frequency / frequency.sum()


@pytest.mark.parametrize("tile", [1, 64, 300, 5000])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_moments_match_scipy_in_any_tiles(tile, offset):
    """The offset gives cosines whose mean is large beside their deviation."""
    rows, table, frequency = draw(offset=offset)
    wanted = reference.vocabulary_moments(rows.numpy(), table.numpy(), frequency.numpy())
    found = vocabulary_moments(rows, table, frequency, tile)
    single = vocabulary_moments(rows.float(), table.float(), frequency, tile)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
        # float32: products carry 1e-7, and the fourth power of a distant value four times that.
        np.testing.assert_allclose(single[name], values, rtol=2e-4, atol=2e-5, err_msg=name)


def test_directions_and_tokens_of_length_zero():
    rows, table, _ = draw()
    rows[2], table[5] = 0, 0
    found = vocabulary_moments(rows, table)
    assert found["cosine"][2].isnan().all()
    assert found["cosine"][[0, 1, 3]].isfinite().all()
    cosine = (rows[0] / rows[0].norm()) @ (table / table.norm(dim=1, keepdim=True).clamp(min=1e-9)).T
    assert float(found["cosine"][0, 0]) == pytest.approx(float(cosine.mean()))


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_length_scales_only_mean_and_variance_of_the_logit_effect(seed, scale):
    rows, table, frequency = draw(seed, directions=3, tokens=40)
    one, two = (vocabulary_moments(own, table, frequency) for own in (rows, scale * rows))
    for kind in ("cosine", "cosine_weighted"):
        torch.testing.assert_close(one[kind], two[kind], rtol=1e-8, atol=1e-10)
    factors = torch.tensor([scale, scale**2, 1, 1], dtype=torch.float64)
    for kind in ("logit", "logit_weighted"):
        torch.testing.assert_close(one[kind] * factors, two[kind], rtol=1e-8, atol=1e-10)


@given(st.integers(0, 1000))
def test_the_opposite_direction_leans_to_the_other_side(seed):
    rows, table, _ = draw(seed, directions=3, tokens=40)
    one, two = (vocabulary_moments(own, table)["cosine"] for own in (rows, -rows))
    torch.testing.assert_close(one * torch.tensor([-1, 1, -1, 1]), two, rtol=1e-8, atol=1e-10)
