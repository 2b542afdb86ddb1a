"""The figures of properties, relations, weights and published tables carry their data."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from un_lightning.figures import weights
from un_lightning.figures.properties import BY_LAYER, PERCENTILES, percentiles, properties_by_layer
from un_lightning.figures.published import medians_by_depth, universal_by_layer
from un_lightning.figures.relations import cos_against_frequency, redundancy
from un_lightning.figures.style import HUES, REST, UNIVERSAL


@pytest.fixture
def table():
    generator = np.random.default_rng(0)
    layer, neuron = np.divmod(np.arange(300), 100)
    table = pd.DataFrame({"model": "m", "layer": layer, "neuron": neuron})
    for name in {*BY_LAYER, *PERCENTILES, "w_in_norm", "w_out_norm"}:
        table[name] = generator.lognormal(size=300)
    table["in_out_sim"] = generator.uniform(-1, 1, 300)
    table["sparsity"] = generator.uniform(0, 1, 300)
    table["in_in_max"], table["out_out_max"] = generator.uniform(0.2, 0.9, (2, 300))
    table["excess_corr"] = generator.uniform(0, 0.9, 300)
    table["group"] = (neuron < 20).astype(np.int8)
    table.loc[0, "group"] = -1
    return table


def medians(axes):
    """Height and place of the line in each box."""
    lines = [line for line in axes.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2]
    return {round(float(np.mean(line.get_xdata())), 3): float(line.get_ydata()[0]) for line in lines}


def drawn(figure):
    """A figure renders, and no text of it is cut off."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert (edge[..., :3] == 255).all()
    return figure


def test_percentiles_stand_at_their_medians():
    values = {"a": {"skew": np.arange(100.0), "kurt": np.full(50, 90.0)}, "b": {"skew": np.arange(50.0)}}
    figure = drawn(percentiles(values))
    axes = figure.axes[0]
    found = medians(axes)
    assert found[-0.2] == pytest.approx(49.5)
    assert found[0.2] == pytest.approx(24.5)
    assert found[0.8] == pytest.approx(90)
    assert 1.2 not in found
    assert len(axes.get_xticks()) == 2
    colours = {to_rgba(patch.get_facecolor()) for patch in axes.patches if isinstance(patch, Rectangle)}
    assert {to_rgba(HUES[0]), to_rgba(HUES[1])} <= colours


def test_few_neurons_are_drawn_one_by_one():
    axes = drawn(percentiles({"a": {"skew": np.array([10.0, 20.0, 99.0])}})).axes[0]
    assert not axes.patches
    assert axes.lines[0].get_ydata().tolist() == [10, 20, 99]
    assert axes.figure.legends[0].get_title().get_text().startswith("dots: each neuron")


def test_layers_have_a_box_for_each_group(table):
    figure = drawn(properties_by_layer(table, "m"))
    assert len(figure.axes) == len(BY_LAYER)
    for axes, column in zip(figure.axes, BY_LAYER, strict=True):
        found = medians(axes)
        for layer in range(3):
            own = table[table["layer"] == layer]
            assert found[layer - 0.2] == pytest.approx(own.loc[own["group"] == 1, column].median())
            assert found[layer + 0.2] == pytest.approx(own.loc[own["group"] == 0, column].median())
    assert figure.axes[0].get_yscale() == "log"
    alone = drawn(properties_by_layer(table[table["group"] == 1][["layer", "group", "skew"]], "m"))
    assert [*medians(alone.axes[0])] == [0, 1, 2]
    with pytest.raises(ValueError, match="none of the columns"):
        properties_by_layer(table[["layer", "group"]], "m")


def test_frequency_and_cosine_carry_their_correlation(table):
    figure = drawn(cos_against_frequency({"m": table, "constant": table.assign(sparsity=0.5)}))
    r = np.corrcoef(table["sparsity"], table["in_out_sim"])[0, 1]
    left, right = figure.axes[:2]
    assert left.get_legend().get_texts()[0].get_text() == f"r = {r:.2f}"
    assert right.get_legend() is None
    assert int(left.collections[0].get_array().sum()) == 300


def test_redundancy_is_a_density_of_each_group(table):
    figure = drawn(redundancy({"m": pd.concat([table] * 6)}))
    for axes in figure.axes:
        areas = [patch for patch in axes.patches if patch.get_fill()]
        assert len(areas) == 2
        for patch in areas:
            heights, edges, _ = patch.get_data()
            assert (heights * np.diff(edges)).sum() == pytest.approx(1)
        colours = [to_rgba(patch.get_facecolor())[:3] for patch in areas]
        assert colours == [to_rgba(REST)[:3], to_rgba(UNIVERSAL)[:3]]


def test_a_small_group_is_marked_neuron_by_neuron(table):
    axes = drawn(redundancy({"m": table})).axes[0]
    expected = table.loc[table["group"] == 1, "in_in_max"]
    assert axes.lines[0].get_xdata().tolist() == expected.tolist()
    assert axes.lines[1].get_xdata()[0] == pytest.approx(expected.median())
    assert (axes.get_yticks() >= 0).all()
    assert len([patch for patch in axes.patches if patch.get_fill()]) == 1


def test_no_dot_is_cut_off_and_cut_values_are_counted(table):
    table = table[(table["group"] == 0) | (table["neuron"] < 3)].copy()
    table.loc[table.index[1], ["skew", "kurt"]] = 1e4  # a dot, far from all others
    figure = drawn(properties_by_layer(table, "m"))
    caption = figure.legends[0].get_title().get_text()
    assert "dots: each neuron, where there are fewer than 8" in caption
    for axes, column in zip(figure.axes, BY_LAYER, strict=True):
        values = table.loc[table["group"] >= 0, column]
        low, high = axes.get_ylim()
        assert table.loc[table["group"] == 1, column].between(low, high).all()
        beyond = int((~values.between(low, high)).sum())
        assert (f"{beyond} of {len(values)}" in axes.get_title(loc="right")) is (beyond > 0)


def test_weights_are_drawn_by_layer(table):
    figure = drawn(weights.norms_by_layer(table))
    assert medians(figure.axes[0])[1 - 0.198] == pytest.approx(
        table.loc[table["layer"] == 1, "w_in_norm"].median()
    )
    drawn(weights.vocabulary_by_layer(table, 2.9))
    drawn(weights.neighbours_by_layer(table, 0.3))
    reach = np.triu(np.full((3, 3), 0.2), 1)
    reach[reach == 0] = np.nan
    figure = drawn(weights.head_composition({"q_comp": reach, "o_comp": 1 / reach}, 0.1, "m"))
    assert figure.axes[0].collections[0].get_array().compressed().tolist() == pytest.approx([2] * 3)


def test_published_tables_are_drawn_by_depth(table):
    figure = drawn(universal_by_layer({"m": table}, {"m": (4, 1000)}))
    assert [bar.get_height() for bar in figure.axes[0].containers[0]] == pytest.approx([10, 10, 10, 0])
    figure = drawn(medians_by_depth({"m": table}, {"m": (4, 1000)}))
    line = figure.axes[1].lines[0]
    assert line.get_xdata().tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert line.get_ydata().tolist() == pytest.approx(table.groupby("layer")["vocab_skew"].median().tolist())
