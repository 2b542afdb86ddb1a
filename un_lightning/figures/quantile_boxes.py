"""Nested quantile boxes: a distribution with its tails in little room.

They are the letter-value plots of Hofmann, Wickham and Kafadar (2017), with fixed and named quantiles instead
of letters, so that the figure can be read without knowing the number of values.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Rectangle

from un_lightning.figures.style import INK


LEVELS = ((0.01, 0.99), (0.05, 0.95), (0.25, 0.75))
"""Lower and upper quantile of each box, from the outermost inwards."""
CAPTION = "boxes 25–75, 5–95, 1–99 %; line: median"
"""Explains the boxes in a legend."""
_WIDTHS = (0.3, 0.6, 1.0)
_SHADES = (0.35, 0.6, 1.0)


def quantile_boxes(
    axes: Axes, position: float, values: Sequence[float] | np.ndarray, *, width: float, colour: str
) -> None:
    """Draw one distribution as nested boxes with a line at its median. NaN is left out; no values, no box.

    Args:
        axes: Where to draw.
        position: Middle of the boxes on the x-axis.
        values: The distribution, [values].
        width: Width of the inner box, in units of the x-axis.
        colour: Colour of the inner box; the outer ones are lighter.
    """
    present = np.asarray(values, dtype=np.float64)
    present = present[np.isfinite(present)]
    if len(present) == 0:
        return
    for (low, high), share, shade in zip(LEVELS, _WIDTHS, _SHADES, strict=True):
        bottom, top = np.quantile(present, [low, high])
        axes.add_patch(
            Rectangle(
                (position - share * width / 2, bottom),
                share * width,
                top - bottom,
                facecolor=_mix(colour, shade),
                edgecolor="none",
            )
        )
    median = np.median(present)
    axes.plot([position - width / 2, position + width / 2], [median, median], color=INK, linewidth=1.2)
    axes.autoscale_view()


def legend_patch(label: str, colour: str) -> Patch:
    """The entry of a legend for boxes of a colour."""
    return Patch(facecolor=colour, edgecolor="none", label=label)


def _mix(colour: str, share: float) -> tuple[float, float, float]:
    """Lighten a colour: `share` of it, the rest white. Opaque, unlike alpha, so boxes can overlap."""
    red, green, blue = (share * part + (1 - share) for part in to_rgb(colour))
    return red, green, blue
