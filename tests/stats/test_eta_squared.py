"""Explained variance and mutual information against group by group definitions."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import activations as reference
from tests.stats.ranks import heavy
from un_lightning.stats.eta_squared import eta_squared, firing_information


def grouped(values, groups, size):
    counts = torch.bincount(groups, minlength=size)
    sums = torch.zeros(size, values.shape[1], dtype=torch.float64).index_add_(0, groups, values.double())
    return sums / counts[:, None], counts


def found_eta(values, groups, size):
    means, counts = grouped(values, groups, size)
    wide = values.double()
    return eta_squared(means, counts, wide.mean(0), wide.var(0, correction=0))


def test_equals_the_definition_with_empty_groups():
    values = heavy()
    groups = torch.from_numpy(np.random.default_rng(0).integers(9, size=700))
    groups[groups == 3] = 11
    found = found_eta(values, groups, 14).numpy()
    expected = reference.eta_squared(values.numpy(), groups.numpy())
    varied = values.double().std(0).numpy() > 0
    np.testing.assert_allclose(found[varied], expected[varied], rtol=1e-9)
    assert np.isnan(found[~varied]).all()
    assert (~varied).sum() == 2


def test_it_is_one_where_the_group_decides_and_chance_where_it_says_nothing():
    groups = torch.arange(20_000) % 50
    decided = torch.randn(50, 4)[groups]
    assert torch.allclose(found_eta(decided, groups, 50), torch.ones(4, dtype=torch.float64))
    noise = torch.randn(20_000, 400, generator=torch.Generator().manual_seed(0))
    chance = 49 / (20_000 - 1)
    # The mean of 400 independent values, each with relative deviation sqrt(2 / 49).
    assert abs(float(found_eta(noise, groups, 50).mean()) / chance - 1) < 5 * np.sqrt(2 / 49 / 400)


def test_a_reduction_in_variance_is_the_squared_correlation():
    """Method E.1: two groups explain as much as the correlation with their label."""
    values = heavy()[:, 5:]
    groups = torch.from_numpy(np.random.default_rng(3).integers(2, size=700))
    expected = [np.corrcoef(column, groups)[0, 1] ** 2 for column in values.double().numpy().T]
    np.testing.assert_allclose(found_eta(values, groups, 2).numpy(), expected, rtol=1e-8)


def test_large_means_lose_nothing():
    values = heavy()[:, 5:] + 1e4
    groups = torch.arange(700) % 7
    means, counts = grouped(values, groups, 7)
    wide = values.double()
    found = eta_squared(means.float(), counts, wide.mean(0), wide.var(0, correction=0)).numpy()
    # Means in float32 are off by 5e-4 where the deviation is about 5, and η² is about 1e-2.
    np.testing.assert_allclose(found, reference.eta_squared(values.numpy(), groups.numpy()), rtol=2e-2)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_it_lies_between_zero_and_one_and_ignores_scale_and_offset(seed, scale, offset):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(80, 5, generator=generator, dtype=torch.float64)
    groups = torch.randint(6, (80,), generator=generator)
    found = found_eta(values, groups, 6)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    torch.testing.assert_close(found_eta(values * scale + offset, groups, 6), found, rtol=1e-6, atol=1e-9)


def test_information_equals_that_of_the_joint_table():
    values = heavy() - heavy().median(0).values
    values[:, 1] = -1  # never fires
    values[:, 5] = 1  # always fires
    groups = torch.arange(700) % 11
    groups[groups == 7] = 8
    rates, counts = grouped((values > 0).float(), groups, 13)
    found = firing_information(rates, counts).numpy()
    np.testing.assert_allclose(
        found, reference.firing_information(values.numpy(), groups.numpy()), atol=1e-12
    )
    assert found[1] == found[5] == 0
    decided = firing_information(torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([5, 5]))
    np.testing.assert_allclose(decided.numpy(), np.log(2))
