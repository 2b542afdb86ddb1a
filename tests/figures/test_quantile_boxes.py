"""Nested boxes lie at the quantiles."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from un_lightning.figures.quantile_boxes import LEVELS, legend_patch, quantile_boxes
from un_lightning.figures.style import panels


def test_boxes_and_median():
    _, (axes,) = panels(3.0, 2.0)
    values = np.random.default_rng(0).normal(size=1001)
    quantile_boxes(axes, 5.0, values, width=0.5, colour="#0072B2")
    for box, levels, share in zip(axes.patches, LEVELS, (0.3, 0.6, 1.0), strict=True):
        low, high = np.quantile(values, levels)
        assert (box.get_y(), box.get_y() + box.get_height()) == pytest.approx((low, high))
        assert box.get_width() == pytest.approx(0.5 * share)
        assert box.get_x() + box.get_width() / 2 == pytest.approx(5)
    (line,) = axes.lines
    assert list(line.get_xdata()) == [4.75, 5.25]
    assert list(line.get_ydata()) == [np.median(values)] * 2
    bottom, top = axes.get_ylim()
    assert bottom < np.quantile(values, 0.01)
    assert top > np.quantile(values, 0.99)


def test_outer_boxes_are_lighter_and_opaque():
    _, (axes,) = panels(3.0, 2.0)
    quantile_boxes(axes, 0.0, [0.0, 1.0], width=1.0, colour="#0072B2")
    outer, middle, inner = (box.get_facecolor() for box in axes.patches)
    assert inner == (*to_rgb("#0072B2"), 1)
    assert sum(outer) > sum(middle) > sum(inner)
    assert outer[3] == middle[3] == 1


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [np.inf]])
def test_no_values_no_boxes(values):
    _, (axes,) = panels(3.0, 2.0)
    quantile_boxes(axes, 0.0, values, width=1.0, colour="red")
    assert len(axes.patches) == len(axes.lines) == 0


def test_missing_values_are_left_out():
    _, (axes,) = panels(3.0, 2.0)
    quantile_boxes(axes, 0.0, [1.0, np.nan, 2.0, 3.0], width=1.0, colour="red")
    assert axes.lines[0].get_ydata()[0] == 2


def test_legend():
    patch = legend_patch("neurons", "#0072B2")
    assert patch.get_label() == "neurons"
    assert patch.get_facecolor() == (*to_rgb("#0072B2"), 1)
