"""The figures of the activations analysis carry their data."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from un_lightning.figures.activations import neuron_histograms, position_profiles, statistics_by_layer


def neurons(layers=4, size=30):
    generator = np.random.default_rng(layers)
    count = layers * size
    table = pd.DataFrame({"model": "un-tiny-a", "layer": np.repeat(np.arange(layers), size)})
    table["neuron"] = np.tile(np.arange(size), layers)
    table["mean"], table["var"] = generator.normal(-1, 1, count), generator.lognormal(size=count)
    table["skew"], table["kurt"] = generator.normal(size=count), 3 + generator.lognormal(1, 1, count)
    for name in ("sparsity", "eta2_token", "eta2_position"):
        table[name] = generator.beta(1, 5, count)
    return table


def histograms(table, bins=40):
    generator = np.random.default_rng(0)
    low = np.asarray(table["mean"]) - 4 * np.sqrt(np.asarray(table["var"]))
    high = np.asarray(table["mean"]) + 4 * np.sqrt(np.asarray(table["var"]))
    found = table[["model", "layer", "neuron"]].assign(low=low, high=high)
    found["counts"] = list(generator.multinomial(5000, np.ones(bins + 2) / (bins + 2), len(table)))
    return found


def positions(table, context=16):
    order = table.sort_values("eta2_position", ascending=False).dropna(subset="eta2_position")
    found = order[["model", "layer", "neuron", "eta2_position"]].reset_index(drop=True)
    profile = np.linspace(-1, 1, context)
    profile[0] = np.nan
    found["mean"] = [profile + index for index in range(len(found))]
    found["sparsity"] = [np.clip(profile, 0, 1)] * len(found)
    return found


def broken(table):
    return table.assign(**dict.fromkeys(table.columns[3:], np.nan))


TABLES = {
    "four layers": neurons(),
    "one neuron": neurons(1, 1),
    "24 layers": neurons(24),
    "no tokens": neurons().drop(columns="eta2_token"),
    "nothing valid": broken(neurons()),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_figures_in_which_no_text_is_cut_off(name):
    table = TABLES[name]
    for figure in (
        statistics_by_layer(table),
        neuron_histograms(table, histograms(table.fillna(1.0))),
        position_profiles(table, positions(table)),
    ):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())
        assert image[..., :3].min() < 200
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (edge[..., :3] == 255).all()


def test_every_statistic_has_its_panel_with_medians_by_layer():
    table = neurons()
    panels = statistics_by_layer(table).axes
    assert [axes.get_title(loc="left") for axes in panels[:2]] == ["mean pre-activation", "variance"]
    medians = [line.get_ydata()[0] for line in panels[0].lines]
    np.testing.assert_allclose(medians, table.groupby("layer")["mean"].median())


def test_histograms_show_the_largest_kurtosis_as_densities():
    table = neurons()
    data = histograms(table)
    panels = neuron_histograms(table, data, panels=3).axes
    order = table["kurt"].sort_values(ascending=False).index[:3]
    for axes, index in zip(panels, order, strict=False):
        row = table.loc[index]
        assert axes.get_title(loc="left").startswith(f"L{row['layer']}.{row['neuron']}\n")
        stairs = axes.patches[0].get_data()
        inside = (stairs.values * np.diff(stairs.edges)).sum()
        assert inside == pytest.approx(sum(data.loc[index, "counts"][1:-1]) / 5000)


def test_profiles_are_drawn_in_the_order_of_the_table():
    table = neurons()
    data = positions(table)
    panels = position_profiles(table, data, panels=2).axes
    for place in range(2):
        np.testing.assert_array_equal(panels[place].lines[0].get_ydata(), data.loc[place, "mean"])
        np.testing.assert_array_equal(panels[place + 2].lines[0].get_ydata(), data.loc[place, "sparsity"])
        assert not panels[place].collections
    (band,) = position_profiles(table, data.assign(sd=0.5), panels=1).axes[0].collections
    (corners,) = (path.vertices for path in band.get_paths())
    mean = np.asarray(data.loc[0, "mean"])
    assert corners[:, 1].max() == pytest.approx(np.nanmax(mean) + 0.5)
    assert corners[:, 1].min() == pytest.approx(np.nanmin(mean) - 0.5)
