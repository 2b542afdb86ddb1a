"""p-values of excess correlations: against loops, right under the null, and finding what is planted."""

import numpy as np
import pytest

from tests.reference import chance as reference
from tests.reference.correlation import correlations
from un_lightning.stats.chance import false_discovery_rate, p_above_chance


WIDTHS = (40, 60)
LAYERS = [slice(0, 40), slice(40, 100)]


def largest(generator, shape, scale):
    """Maxima of 200 normal numbers, times the scale of each unit."""
    return generator.normal(size=(*shape, 200)).max(-1) * scale


@pytest.mark.parametrize(("others", "draws"), [(1, 2), (3, 3)])
def test_equals_loops(others, draws):
    generator = np.random.default_rng(others)
    scale = generator.uniform(0.05, 0.1, 100)
    corr = largest(generator, (others, 100), scale) * generator.uniform(0.9, 1.4, 100)
    drawn = largest(generator, (others, draws, 100), scale)
    corr[:, [3, 50]] = drawn[..., [3, 50]] = np.nan
    p = p_above_chance(corr, drawn, LAYERS)
    np.testing.assert_allclose(p, reference.p_values(corr, drawn, WIDTHS), rtol=1e-8)
    assert np.flatnonzero(np.isnan(p)).tolist() == [3, 50]
    np.testing.assert_allclose(false_discovery_rate(p), reference.q_values(p), rtol=1e-12)


@pytest.mark.parametrize(("others", "draws"), [(1, 3), (4, 3), (4, 10)])
def test_one_more_rotation_is_no_discovery(others, draws):
    """Units of sparse activations against rotations of a layer of 150: the exact null, 300 units."""
    generator = np.random.default_rng(draws + others)
    tokens, width = 400, 150
    left = np.maximum(generator.normal(size=(tokens, 300)) - 0.5, 0)
    found = np.empty((others, draws + 1, 300))
    for other in range(others):
        layer = np.maximum(generator.normal(size=(tokens, width)) - 0.5, 0) * generator.lognormal(size=width)
        for draw in range(draws + 1):
            rotation = np.linalg.qr(generator.normal(size=(width, width)))[0]
            found[other, draw] = correlations(left, layer @ rotation).max(1)
    p = p_above_chance(found[:, 0], found[:, 1:], [slice(0, 150), slice(150, 300)])
    assert (p < 0.05).mean() < 0.08  # 0.05 and three standard errors of 300 units
    assert 0.3 < np.median(p) < 0.7
    assert (false_discovery_rate(p) < 0.05).sum() == 0


def test_planted_units_are_found_and_few_others():
    """Ten of a hundred units, forty times: the share of false ones among those found is what q says."""
    generator = np.random.default_rng(0)
    missed, false = [], []
    for _ in range(40):
        scale = generator.uniform(0.05, 0.1, 100)
        corr, drawn = largest(generator, (4, 100), scale), largest(generator, (4, 3, 100), scale)
        corr[:, :10] *= 1.7
        found = false_discovery_rate(p_above_chance(corr, drawn, LAYERS)) < 0.05
        missed.append((~found[:10]).mean())
        false.append(found[10:].sum() / max(found.sum(), 1))
    assert np.mean(missed) < 0.01
    assert np.mean(false) < 0.07  # 0.05, and three standard errors of 40 rates


def test_what_cannot_be_known_is_nan():
    corr, drawn = np.full((1, 5), 0.5), np.full((1, 1, 5), 0.3)
    assert np.isnan(p_above_chance(corr, drawn, [slice(0, 5)])).all()
    assert np.isnan(p_above_chance(corr, np.full((1, 3, 5), np.nan), [slice(0, 5)])).all()
    assert np.isnan(false_discovery_rate(np.full(3, np.nan))).all()
