"""Trends over depth: few neurons have marks instead of densities, and depths are compared as shares."""

import numpy as np
import pandas as pd
import pytest

from un_lightning.figures.prediction import FEW, LEVELS, trends_by_layer


def tables(depths, neurons):
    """Members of `depths` layers, with `neurons` of high kurtosis a layer."""
    generator = np.random.default_rng(0)
    members = [(f"m{index}", layer) for index, depth in enumerate(depths) for layer in range(depth)]
    layers = pd.DataFrame(members, columns=["model", "layer"])
    for level in LEVELS:
        layers[f"vocab_kurt_p{level}"] = level + layers["layer"]
        layers[f"vocab_skew_p{level}"] = level - layers["layer"]
    own = layers[["model", "layer"]].loc[layers.index.repeat(neurons)].reset_index(drop=True)
    own["vocab_kurt"], own["vocab_skew"] = 20.0, generator.normal(size=len(own))
    return layers, own


@pytest.mark.parametrize(("neurons", "marked"), [(3, True), (FEW, False)])
def test_few_neurons_are_marks(neurons, marked):
    layers, own = tables((2, 2), neurons)
    axes = trends_by_layer(layers, own, "m0", 10.0).axes[2]
    marks = [line for line in axes.lines if line.get_marker() == "|"]
    assert len(marks) == (2 if marked else 0)
    assert bool(axes.collections) is not marked
    if marked:
        assert np.sort(marks[0].get_xdata()).tolist() == sorted(own.loc[own["layer"] == 0, "vocab_skew"])
    assert len(axes.get_legend().get_texts()) == 2


def test_a_panel_without_neurons_says_why():
    layers, own = tables((2,), 3)
    axes = trends_by_layer(layers, own, "m0", 30.0).axes[2]
    assert "no neuron has a kurtosis" in axes.texts[0].get_text()


def test_members_of_different_depth_are_compared_at_relative_depth():
    layers, own = tables((2, 5), FEW)
    kurtosis, _, density = trends_by_layer(layers, own, "m1", 10.0).axes
    assert kurtosis.get_xlabel() == "relative depth"
    line = kurtosis.lines[0]
    np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 1, 5))
    np.testing.assert_allclose(line.get_ydata(), LEVELS[0] + np.linspace(0, 2.5, 5))  # (1 + 4) / 2 at the end
    names = [text.get_text().split(":")[0] for text in density.get_legend().get_texts()]
    assert names == ["last − 3", "last − 2", "last − 1", "last"]
