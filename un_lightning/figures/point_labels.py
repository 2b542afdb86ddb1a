"""Names beside points that keep clear of each other and of the points."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray


_SIZE = 8
"""Points of the font."""
_GAP = 5
"""Points between a point and its name."""
_CLEAR = 2
"""Points that a name keeps off a marker's middle."""


def point_labels(
    axes: Axes,
    points: Float[ndarray, "points 2"],
    names: Sequence[str],
    colours: Sequence[str],
    others: Float[ndarray, "others 2"] | None = None,
) -> None:
    """Write a name beside each point: right above where there is room, else at another side.

    The limits and scales of the axes must be final; the size of a name is estimated from its length.

    Args:
        axes: Where to write.
        points: The points, in data coordinates.
        names: A name a point.
        colours: A colour a name.
        others: Further points that names keep clear of.
    """
    scale = 72 / axes.figure.dpi
    place = lambda pairs: axes.transData.transform(np.asarray(pairs, dtype=np.float64).reshape(-1, 2)) * scale
    own = place(points)
    marks = own if others is None else np.concatenate([own, place(others)])
    frame = np.array(axes.get_window_extent().extents) * scale
    written: list[np.ndarray] = []
    for at, point, name, colour in zip(own, points, names, colours, strict=True):
        width, height = 0.62 * _SIZE * len(name), 1.25 * _SIZE
        sides = [
            (right, up, lift)
            for lift in (0, 1, 2, 3)
            for up in (True, False)
            for right in (True, False)
        ]  # fmt: skip
        costs, offsets, boxes = [], [], []
        for right, up, lift in sides:
            x = _GAP if right else -_GAP - width
            y = (_GAP - 2 if up else 2 - _GAP - height) + (1 if up else -1) * lift * height
            box = np.array([at[0] + x, at[1] + y, at[0] + x + width, at[1] + y + height])
            costs.append(_covered(box, written, marks, frame))
            offsets.append((x, y))
            boxes.append(box)
        best = int(np.argmin(costs))
        written.append(boxes[best])
        axes.annotate(
            name, point, offsets[best], textcoords="offset points", color=colour, fontsize=_SIZE,
            ha="left", va="bottom",
        )  # fmt: skip


def _covered(box: np.ndarray, written: Sequence[np.ndarray], marks: np.ndarray, frame: np.ndarray) -> int:
    """Names and marks that a name would cover; outside the frame counts as most of all."""
    names = sum(bool((box[:2] < one[2:]).all() and (one[:2] < box[2:]).all()) for one in written)
    inside = ((marks > box[:2] - _CLEAR) & (marks < box[2:] + _CLEAR)).all(1).sum()
    outside = bool((box[:2] < frame[:2]).any() or (box[2:] > frame[2:]).any())
    return 3 * names + int(inside) + 9 * outside
