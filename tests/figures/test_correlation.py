"""The figures of the correlation analysis carry their data."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import binomtest

from un_lightning.figures.correlation import (
    excess_distribution,
    layer_match,
    max_correlation_by_layer,
    universal_by_layer,
    wilson_interval,
)
from un_lightning.figures.style import BASELINE, EXCESS, MARK, MATCH


VALUES = ["max_corr", "mean_corr", "min_corr", "max_baseline", "mean_baseline", "min_baseline"]
VALUES += ["baseline_stderr", "excess_corr"]


def neurons(layers: int, size: int = 50, invalid: tuple[int, ...] = (), first: int = 0) -> pd.DataFrame:
    """A table of neurons with excess in [-0.1, 0.9]; whole layers may be invalid."""
    rng = np.random.default_rng(layers)
    layer = np.repeat(np.arange(first, first + layers), size)
    baseline = rng.uniform(0.05, 0.1, layers * size)
    excess = rng.uniform(-0.1, 0.9, layers * size)
    table = pd.DataFrame({"model": "un-tiny-a", "layer": layer.astype(np.int16), "valid": True})
    table["neuron"] = np.tile(np.arange(size), layers)
    for name in VALUES:
        table[name] = {"excess_corr": excess, "baseline_stderr": 0.01}.get(
            name, baseline if "baseline" in name else baseline + excess
        )
    gone = table["layer"].isin(invalid)
    table.loc[gone, "valid"] = False
    table.loc[gone, VALUES] = np.nan
    table["universal"] = table["excess_corr"] > 0.5
    return table


def matches(layers: int, partners: int | None = None) -> pd.DataFrame:
    grid = np.random.default_rng(layers).dirichlet(np.ones(partners or layers), layers)
    rows, columns = np.indices(grid.shape)
    return pd.DataFrame({"layer": rows.ravel(), "match_layer": columns.ravel(), "fraction": grid.ravel()})


def figures(table: pd.DataFrame, layers: int) -> list[Figure]:
    return [
        max_correlation_by_layer(table),
        excess_distribution(table, 0.5),
        universal_by_layer(table, 0.5),
        layer_match(matches(layers)),
    ]


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def none_universal(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(universal=False, excess_corr=table["excess_corr"] / 10)


TABLES = {
    "one layer": (neurons(1), 1),
    "four layers": (neurons(4), 4),
    "48 layers": (neurons(48), 48),
    "layers from 3": (neurons(4, first=3), 4),
    "one neuron a layer": (neurons(3, size=1), 3),
    "no universal neurons": (none_universal(neurons(4)), 4),
    "a layer without valid neurons": (neurons(4, invalid=(2,)), 4),
    "no valid neurons": (neurons(4, invalid=(0, 1, 2, 3)), 4),
    "a constant": (neurons(2).assign(mean_corr=0.5, mean_baseline=0.5, excess_corr=0.0, universal=False), 2),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_figures_in_which_no_text_is_cut_off(name):
    for figure in figures(*TABLES[name]):
        image = pixels(figure)
        assert image[..., :3].min() < 128
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (edge[..., :3] == 255).all()
        assert all(np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all() for axes in figure.axes)


@pytest.mark.parametrize(
    "table", [neurons(2).iloc[:0], pd.concat([neurons(2), neurons(2).assign(model="b")])]
)
def test_neurons_of_no_model_or_of_several_are_a_mistake(table):
    for draw in (
        max_correlation_by_layer,
        lambda t: excess_distribution(t, 0.5),
        lambda t: universal_by_layer(t, 0.5),
    ):
        with pytest.raises(ValueError, match="of one model, not of"):
            draw(table)


def test_the_interval_of_a_layer_is_that_of_the_text():
    table = neurons(3)
    table["excess_low"], table["excess_high"] = table["excess_corr"] - 0.1, table["excess_corr"] + 0.2
    table.loc[table.index[::7], ["excess_low", "excess_high"]] = np.nan  # counts as it stands
    (axes,) = universal_by_layer(table, 0.5).axes
    assert "surely" in axes.get_title(loc="left")
    assert (pixels(axes.figure)[:, -1, :3] == 255).all()  # no text is cut off
    (bars,) = (container.lines[2][0] for container in axes.containers if hasattr(container, "has_yerr"))
    for layer, (bottom, top) in enumerate(segment[:, 1] for segment in bars.get_segments()):
        own = table[table["layer"] == layer]
        unknown = own["excess_high"].isna() & own["universal"]
        assert bottom == pytest.approx(100 * (own["excess_low"] > 0.5).mean())
        assert top == pytest.approx(100 * ((own["excess_high"] > 0.5) | unknown).mean())


def test_boxes_are_the_quantiles_of_each_layer():
    table = neurons(4, invalid=(2,))
    (axes,) = max_correlation_by_layer(table).axes
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    for layer in (0, 1, 3):
        for column, colour, side in (("mean_baseline", BASELINE, -0.2), ("mean_corr", MATCH, 0.2)):
            values = table.loc[table["layer"] == layer, column]
            here = [box for box in boxes if abs(box.get_x() + box.get_width() / 2 - layer - side) < 1e-9]
            spans = [(box.get_y(), box.get_y() + box.get_height()) for box in here]
            expected = [np.quantile(values, pair) for pair in ((0.01, 0.99), (0.05, 0.95), (0.25, 0.75))]
            np.testing.assert_allclose(spans, expected, rtol=1e-12)
            assert here[-1].get_facecolor() == to_rgba(colour)
            medians = [
                line.get_ydata()[0]
                for line in axes.lines
                if abs(np.mean(line.get_xdata()) - layer - side) < 1e-9
            ]
            np.testing.assert_allclose(medians, [values.median()], rtol=1e-12)
    assert len(boxes) == 3 * 2 * 3
    assert [(text.get_text(), text.get_position()[0]) for text in axes.texts] == [("none valid", 2)]
    assert list(axes.get_xticks()) == [0, 1, 2, 3]
    assert axes.get_xlabel() == "layer of un-tiny-a"


def test_densities_have_area_one_and_the_mean_of_the_data():
    table = neurons(4, size=500, invalid=(1,))
    left, right = excess_distribution(table, 0.5).axes
    drawn = {}
    for patch in (*left.patches, *right.patches):
        if not patch.get_fill():
            data = patch.get_data()
            widths = np.diff(data.edges)
            assert (data.values * widths).sum() == pytest.approx(1)
            middles = (data.edges[1:] + data.edges[:-1]) / 2
            drawn[to_rgba(patch.get_edgecolor())] = ((data.values * widths * middles).sum(), widths[0])
    for column, colour in (("mean_corr", MATCH), ("mean_baseline", BASELINE), ("excess_corr", EXCESS)):
        mean, width = drawn[to_rgba(colour)]
        # A value lies at most half a bin from the middle of its bin, and so does the mean.
        assert mean == pytest.approx(table[column].mean(), abs=width / 2)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["baseline", "neurons"]


def test_the_threshold_and_the_share_above_it():
    table = neurons(4, invalid=(1,))
    left, right = excess_distribution(table, 0.25).axes
    (line,) = right.lines
    assert list(line.get_xdata()) == [0.25, 0.25]
    assert to_rgba(line.get_color()) == to_rgba(MARK)
    count = int(table["universal"].sum())
    assert right.get_title(loc="left") == f"excess > 0.25: {count} of 200 neurons ({count / 2:.2f} %)"
    assert left.get_title(loc="left") == "50 neurons without a correlation are not shown"
    assert excess_distribution(neurons(4), 0.5).axes[0].get_title(loc="left") == ""


@pytest.mark.parametrize("threshold", [-2.0, 0.5, 2.0])
def test_the_threshold_is_always_in_sight(threshold):
    right = excess_distribution(neurons(2), threshold).axes[1]
    low, high = right.get_xlim()
    assert low < threshold < high
    assert low < -0.09
    assert high > 0.89


def test_bars_are_percentages_with_intervals_and_counts():
    table = neurons(4, first=5)
    table.loc[table["layer"] == 8, "universal"] = False
    (axes,) = universal_by_layer(table, 0.5).axes
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.containers[0].patches}
    shares = 100 * table.groupby("layer")["universal"].mean()
    assert bars == pytest.approx(shares.to_dict())
    assert bars[8] == 0
    counts = table.groupby("layer")["universal"].sum()
    segments = axes.collections[0].get_segments()
    for (layer, count), segment in zip(counts.items(), segments, strict=True):
        interval = binomtest(int(count), 50).proportion_ci(method="wilson")
        expected = [(layer, 100 * interval.low), (layer, 100 * interval.high)]
        np.testing.assert_allclose(segment, expected, rtol=1e-6, atol=1e-9)
    assert [text.get_text() for text in axes.texts] == [str(count) for count in counts]


def test_a_layer_without_valid_neurons_has_no_bar():
    """A bar of height zero would say that its neurons are not universal, which nobody knows."""
    (axes,) = universal_by_layer(neurons(4, invalid=(2,)), 0.5).axes
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in axes.containers[0].patches] == [0, 1, 3]
    assert axes.texts[0].get_text() == "none valid"


def test_invalid_neurons_count_as_neurons_of_the_layer():
    """The published percentages are of all neurons."""
    table = neurons(1)
    table.loc[:9, "valid"] = False
    table.loc[:9, "universal"] = False
    (axes,) = universal_by_layer(table, 0.5).axes
    assert axes.containers[0].patches[0].get_height() == pytest.approx(100 * table["universal"].sum() / 50)


@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (0, 512), (3, 512), (512, 512), (1533, 36864)])
def test_wilson_interval(count, total):
    expected = binomtest(count, total).proportion_ci(method="wilson")
    low, high = wilson_interval(count, total)
    # The constant has seven digits.
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-12)


def test_cells_are_the_fractions():
    match = matches(4, partners=6)
    figure = layer_match(match)
    axes, bar = figure.axes
    (mesh,) = axes.collections
    grid = match["fraction"].to_numpy().reshape(4, 6)
    np.testing.assert_allclose(mesh.get_array(), 100 * grid)
    assert mesh.get_clim() == (0, 100 * grid.max())
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(j, i): f"{100 * grid[i, j]:.0f}" for i in range(4) for j in range(6)}
    bottom, top = axes.get_ylim()
    assert bottom > top, "layer 0 is the first row"
    assert axes.get_aspect() == 1
    assert bar.get_ylabel() == "% of the layer's neurons"


def test_pairs_that_are_left_out_are_zero_and_layers_without_fractions_are_empty():
    match = pd.DataFrame(
        {"layer": [1, 1, 2, 4], "match_layer": [1, 3, 2, 4], "fraction": [0.25, 0.75, np.nan, 1.0]}
    )
    axes = layer_match(match).axes[0]
    grid = axes.collections[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(grid).all(axis=1), [False, True, True, False])
    np.testing.assert_allclose(grid[[0, 3]], [[25, 0, 75, 0], [0, 0, 0, 100]])
    assert list(axes.get_xticks()) == list(axes.get_yticks()) == [1, 2, 3, 4]


def test_numbers_only_where_they_can_be_read():
    assert len(layer_match(matches(12)).axes[0].texts) == 144
    assert len(layer_match(matches(13)).axes[0].texts) == 0


def test_no_valid_fractions():
    figure = layer_match(matches(3).assign(fraction=np.nan))
    assert figure.axes[0].collections[0].get_clim() == (0, 100)
    pixels(figure)


def test_tables_that_are_no_fractions_of_layers():
    with pytest.raises(ValueError, match="no fractions"):
        layer_match(matches(2).iloc[:0])
    with pytest.raises(ValueError, match="a pair of layers twice"):
        layer_match(pd.concat([matches(2), matches(2)]))
