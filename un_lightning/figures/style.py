"""The look that all figures share.

The colours are those of Okabe and Ito (2008), which people with any kind of colour blindness tell apart, and
which differ in lightness, so that they survive a black-and-white print. A colour means the same
thing in every figure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure


MATCH = "#0072B2"
"""Blue: what was measured between models."""
BASELINE = "#E69F00"
"""Orange: what chance or a random rotation gives."""
EXCESS = "#009E73"
"""Green: the measured less the baseline."""
MARK = "#D55E00"
"""Vermilion: thresholds and references."""
INPUT = "#56B4E9"
"""Sky blue: what a neuron reads."""
OUTPUT = "#CC79A7"
"""Purple: what a neuron writes."""
UNIVERSAL = EXCESS
"""Green: neurons whose excess is above the threshold."""
REST = "#B5B5B5"
"""Grey: all other neurons."""
HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Models side by side, where a figure compares models and nothing else."""
INK = "#333333"
"""Text, axes and error bars."""
FAINT = "#999999"
"""What is absent or secondary."""
EMPTY = "#E6E6E6"
"""Cells of a heat map that have no value."""
SEQUENTIAL = "Blues"
"""Colour map of shares, white for nothing."""
DIVERGING = "RdBu_r"
"""Colour map of ratios, white for no difference."""

_SETTINGS: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style; settings that the user has made come back afterwards.

    `@style()` over a function that draws a figure is the same as a `with` around its body.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams  # its keys are literals of one version of matplotlib
        settings.update(_SETTINGS)
        yield


def panels(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels side by side, outside pyplot, so that it is freed with its last reference.

    Args:
        width: Inches.
        height: Inches.
        columns: Number of panels.

    Returns:
        The figure and its panels from left to right.
    """
    figure = Figure(figsize=(width, height))
    return figure, [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
