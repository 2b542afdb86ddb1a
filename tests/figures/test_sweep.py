"""The figure of a sweep shows what its table holds."""

import numpy as np
import pandas as pd
import pytest

from un_lightning.figures.sweep import metric_over_parameters


def table(**columns):
    frame = pd.DataFrame(columns)
    return frame.assign(point=range(1, len(frame) + 1), loss=np.linspace(1.0, 2.0, len(frame)))


def test_one_number_is_a_line_with_the_best_marked():
    figure = metric_over_parameters(table(tokens=[1000.0, 10_000.0, 100_000.0]), ["tokens"], "loss", 3)
    (axes,) = figure.axes
    line, dots, mark = axes.lines
    assert axes.get_xscale() == "log"
    assert list(line.get_ydata()) == list(dots.get_ydata()) == [1.0, 1.5, 2.0]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([100_000.0], [2.0])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("tokens", "loss")


def test_repeats_are_dots_and_the_line_is_their_mean():
    (axes,) = metric_over_parameters(table(a=[1, 1, 2]), ["a"], "loss").axes
    assert list(axes.lines[0].get_ydata()) == [1.25, 2.0]
    assert len(axes.lines[1].get_xdata()) == 3


def test_words_stand_side_by_side_in_their_order():
    (axes,) = metric_over_parameters(table(kind=["b", "a", "b"]), ["kind"], "loss").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["b", "a"]
    assert list(axes.lines[1].get_xdata()) == [0.0, 1.0, 0.0]


def test_two_with_few_values_are_a_heat_map_with_gaps():
    points = table(a=[2, 1, 2, 1], kind=["x", "x", "y", "z"])
    axes, _ = metric_over_parameters(points, ["a", "kind"], "loss", 4).axes
    (image,) = axes.images
    values = np.asarray(image.get_array().filled(np.nan))
    expected = [[4 / 3, np.nan, 2.0], [1.0, 5 / 3, np.nan]]
    np.testing.assert_allclose(values, expected)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["1", "2"]
    assert len(axes.texts) == 4
    (frame,) = axes.patches
    assert frame.get_xy() == (1.5, -0.5)


def test_many_are_a_panel_each():
    draws = np.random.default_rng(0).random((30, 4))
    points = table(**{key: draws[:, place] for place, key in enumerate("abcd")})
    figure = metric_over_parameters(points, [*"abcd"], "loss")
    assert [axes.get_xlabel() for axes in figure.axes] == [*"abcd"]
    assert len(metric_over_parameters(points, ["a", "b"], "loss").axes) == 2


def test_points_without_the_metric_are_left_out():
    points = table(a=[1, 2, 3])
    points.loc[1, "loss"] = np.nan
    (axes,) = metric_over_parameters(points, ["a"], "loss").axes
    assert list(axes.lines[1].get_xdata()) == [1.0, 3.0]


@pytest.mark.parametrize(("parameters", "metric"), [([], "loss"), (["a"], "other")])
def test_nothing_to_draw(parameters, metric):
    with pytest.raises(ValueError, match="needs a parameter and a metric"):
        metric_over_parameters(table(a=[1, 2]), parameters, metric)
    with pytest.raises(ValueError, match="no point has the metric"):
        metric_over_parameters(table(a=[1]).assign(loss=np.nan), ["a"], "loss")
