"""The noise baseline against noise that is really drawn."""

import numpy as np
import pytest
import torch

from tests.reference import correlation
from un_lightning.stats.noise import largest_with_noise


@pytest.mark.parametrize("gelu", [False, True])
def test_equals_units_of_noise(gelu):
    """Means over 200 units and 5 draws of a maximum of 300 agree to a few of their standard errors."""
    generator = np.random.default_rng(0)
    left = np.maximum(generator.normal(size=(3000, 200)), 0)
    drawn = []
    for _ in range(5):
        noise = torch.from_numpy(generator.normal(size=(3000, 300)))
        noise = torch.nn.functional.gelu(noise) if gelu else noise
        drawn.append(correlation.correlations(left, noise.numpy()).max(1))
    drawn = np.stack(drawn)
    found = np.stack([largest_with_noise(200, 300, 3000, seed).numpy() for seed in range(5)])
    # GELU's skewness adds up to a twentieth where both sides are skewed and tokens are few.
    assert found.mean() == pytest.approx(drawn.mean(), rel=0.06 if gelu else 0.015)
    assert found.std() == pytest.approx(drawn.std(), rel=0.2 if gelu else 0.1)


def test_three_tokens_and_one_partner_are_the_smallest_case():
    assert largest_with_noise(5, 1, 3, 0).abs().max() <= 1
    assert largest_with_noise(5, 1, 2, 0).isnan().all()
    assert largest_with_noise(5, 0, 100, 0).isnan().all()


def test_it_is_seeded_and_keeps_its_digits_with_many_partners():
    one = largest_with_noise(1000, 100_000, 10**8, 3)
    assert torch.equal(one, largest_with_noise(1000, 100_000, 10**8, 3))
    assert not torch.equal(one, largest_with_noise(1000, 100_000, 10**8, 4))
    assert len(one.unique()) == 1000
    # The mean of the largest of 100,000 normal numbers is 4.38 deviations of 1e-4.
    assert one.mean().item() == pytest.approx(4.384e-4, rel=0.01)
