"""Percentiles within layers are scipy's, in one sort a layer."""

import numpy as np

from tests.reference import properties as reference
from un_lightning.stats.percentiles import layer_percentiles, layer_ranks


def test_percentiles_match_scipy_with_ties_and_uneven_layers():
    generator = np.random.default_rng(0)
    layer = np.repeat([0, 1, 5], [30, 7, 1])[generator.permutation(38)]
    values = generator.integers(0, 9, 38).astype(float)
    np.testing.assert_allclose(layer_percentiles(values, layer), reference.percentiles(values, layer))


def test_neurons_without_a_value_take_no_rank():
    values = np.array([3.0, np.nan, 1.0, 2.0, np.nan])
    layer = np.array([0, 0, 0, 1, 2])
    np.testing.assert_array_equal(layer_ranks(values, layer), [2, np.nan, 1, 1, np.nan])
    np.testing.assert_array_equal(layer_percentiles(values, layer), [100, np.nan, 50, 100, np.nan])
