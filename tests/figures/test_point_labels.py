"""Names beside points cover neither each other nor the points."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from un_lightning.figures.point_labels import point_labels


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_of_near_points_do_not_collide(scale):
    figure = Figure(figsize=(5, 4), dpi=100)
    axes = figure.subplots()
    axes.set_xscale(scale)
    axes.set_xlim(1, 10)
    axes.set_ylim(0, 10)
    points = np.array([(5.0, 5.0), (5.1, 5.1), (5.05, 4.9), (9.9, 9.8)])
    names = [f"L{index}.1234" for index in range(4)]
    point_labels(axes, points, names, ["k"] * 4, others=np.array([(5.6, 5.2)]))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == names
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    marks = axes.transData.transform(np.array([*points, (5.6, 5.2)]))
    assert not any(box.contains(*mark) for box in boxes for mark in marks)
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and box.y1 <= frame.y1 for box in boxes)


def test_no_points_no_names():
    axes = Figure().subplots()
    point_labels(axes, np.empty((0, 2)), [], [])
    assert not axes.texts
