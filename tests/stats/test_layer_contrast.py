"""Effect sizes against scipy.stats, and p-values that are what they say."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest, mannwhitneyu

from tests.reference import properties as reference
from un_lightning.stats.layer_contrast import LayerContrast, relabel


def neurons(seed, sizes=(40, 25, 60), shares=(0.2, 0.5, 0.1), shift=0.8):
    """Layers of different level, size and share of chosen neurons, with ties."""
    generator = np.random.default_rng(seed)
    layer = np.repeat(np.arange(len(sizes)), sizes)
    chosen = np.concatenate(
        [np.arange(size) < round(size * share) for size, share in zip(sizes, shares, strict=True)]
    )
    values = generator.normal(size=len(layer)) + 5 * layer + shift * chosen
    return np.round(values, 1), chosen, layer


@pytest.mark.parametrize("seed", range(3))
def test_effect_sizes_match_the_reference(seed):
    values, chosen, layer = neurons(seed)
    found = LayerContrast(chosen, layer, 10, seed=0).of(values)
    assert found.auc == pytest.approx(reference.auc(values, chosen, layer), abs=1e-12)
    assert found.ks == pytest.approx(reference.ks(values, chosen, layer), abs=1e-9)
    assert (found.chosen, found.rest) == (chosen.sum(), (~chosen).sum())


def test_a_single_layer_is_the_textbook_case():
    values, chosen, layer = neurons(0, sizes=(80,), shares=(0.3,))
    found = LayerContrast(chosen, layer, 5000, seed=0).of(values)
    test = mannwhitneyu(values[chosen], values[~chosen], method="asymptotic")
    assert found.auc == pytest.approx(test.statistic / (chosen.sum() * (~chosen).sum()))
    assert found.cliffs_delta == pytest.approx(reference.cliffs_delta(values[chosen], values[~chosen]))
    ks = ks_2samp(values[chosen], values[~chosen])
    assert found.ks == pytest.approx(ks.statistic)
    # A permutation p-value has a standard error of √(p / permutations).
    assert found.p_auc == pytest.approx(test.pvalue, abs=4 * np.sqrt(test.pvalue / 5000) + 1e-3)
    assert found.p_ks == pytest.approx(ks.pvalue, rel=0.5, abs=2e-3)


def test_depth_alone_is_no_effect():
    """Chosen neurons that crowd in the layers of large values do not differ from their own layers."""
    values, chosen, layer = neurons(2, sizes=(400, 400), shares=(0.05, 0.6), shift=0)
    assert mannwhitneyu(values[chosen], values[~chosen]).pvalue < 1e-20
    found = LayerContrast(chosen, layer, 500, seed=0).of(values)
    assert found.auc == pytest.approx(0.5, abs=0.06)  # two standard errors
    assert found.p_auc > 0.01
    assert found.p_ks > 0.01


def test_p_values_are_uniform_under_the_null():
    """Calibration: chosen at random within layers, over 400 tables."""
    p_auc, p_ks = [], []
    for seed in range(400):
        values, chosen, layer = neurons(seed, sizes=(30, 20), shares=(0.2, 0.4), shift=0)
        values += np.random.default_rng(seed + 1000).normal(size=len(values)) * 1e-3  # no ties: p is finer
        found = LayerContrast(chosen, layer, 199, seed=seed).of(values)
        p_auc.append(found.p_auc)
        p_ks.append(found.p_ks)
    assert kstest(p_auc, "uniform").pvalue > 0.01
    assert np.mean(p_auc) == pytest.approx(0.5, abs=0.06)
    # The distance is discrete, so its p-values may only err on the large side.
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(p_ks) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 400)
        assert np.mean(np.array(p_auc) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 400)


def test_relabelling_keeps_the_counts_of_every_layer():
    _, chosen, layer = neurons(0)
    labels = relabel(chosen, layer, 300, seed=4)
    for own in range(3):
        drawn = (layer[labels] == own).sum(1)
        assert (drawn == chosen[layer == own].sum()).all()
    assert all(len(set(row)) == len(row) for row in labels)
    often = np.bincount(labels.ravel(), minlength=len(layer)) / 300
    for own, share in ((0, 0.2), (1, 0.48), (2, 0.1)):
        here = often[layer == own]
        assert here == pytest.approx(np.full(len(here), share), abs=5 * np.sqrt(share / 300))


def test_labels_do_not_depend_on_how_many_fit_in_a_step(monkeypatch):
    values, chosen, layer = neurons(2)
    whole = LayerContrast(chosen, layer, 100, seed=0).of(values)
    monkeypatch.setattr("un_lightning.stats.layer_contrast.AT_ONCE", 500)
    assert LayerContrast(chosen, layer, 100, seed=0).of(values) == whole


def test_neurons_without_a_value_take_no_part():
    values, chosen, layer = neurons(3)
    holes = np.arange(len(values)) % 7 == 0
    found = LayerContrast(chosen, layer, 50, seed=0).of(np.where(holes, np.nan, values))
    kept = LayerContrast(chosen[~holes], layer[~holes], 50, seed=0).of(values[~holes])
    assert found == kept


@pytest.mark.parametrize("chosen", [np.zeros(6, bool), np.ones(6, bool), np.array([1, 1, 1, 0, 0, 0], bool)])
def test_layers_without_both_groups_have_no_effect(chosen):
    layer = np.array([0, 0, 0, 1, 1, 1])
    found = LayerContrast(chosen, layer, 20, seed=0).of(np.arange(6.0))
    assert np.isnan([found.auc, found.cliffs_delta, found.ks, found.p_auc, found.p_ks]).all()
