"""A neuron's pre-activation at tokens with a label and without it."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from un_lightning.figures.quantile_boxes import legend_patch
from un_lightning.figures.style import FAINT, MATCH, REST


DENSITY_LEGEND = [
    legend_patch("tokens with the label", MATCH),
    legend_patch("tokens without it (each of area 1)", REST),
]
"""Handles of a legend."""
_BINS = 60


def label_density(axes: Axes, distributions: pd.DataFrame, key: tuple[Any, str]) -> None:
    """Draw two densities.

    Args:
        axes: Where to draw.
        distributions: Histograms `low, high, having, lacking` with the index `column, label`.
        key: Which row; where there is none, the panel says so.
    """
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    axes.grid(False)
    if key not in distributions.index:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=FAINT, fontsize=8)
        axes.set_xticks([])
        return
    row = distributions.loc[key]
    low, high = float(row["low"]), float(row["high"])
    shares = [_shares(row[name]) for name in ("lacking", "having")]
    # All but 1 in 10,000 of either kind is inside the panel.
    reach = np.flatnonzero(np.maximum(shares[0], shares[1]) > 1e-4)
    first, last = (int(reach[0]), int(reach[-1]) + 1) if len(reach) else (0, len(shares[0]))
    edges = np.linspace(low, high, len(shares[0]) + 1)[first : last + 1]
    step = max(1, (last - first) // _BINS)
    for share, colour, alpha in ((shares[0], REST, 0.9), (shares[1], MATCH, 0.65)):
        inside = share[first:last]
        starts = np.arange(0, len(inside), step)
        summed = np.add.reduceat(inside, starts)
        ends = edges[np.append(starts, len(inside))]
        axes.stairs(summed / np.diff(ends), ends, fill=True, color=colour, alpha=alpha)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _shares(counts: np.ndarray) -> np.ndarray:
    """Share of each bin, what lies outside left out."""
    counts = np.asarray(counts, dtype=np.float64)
    return counts[1:-1] / max(1.0, counts.sum())
