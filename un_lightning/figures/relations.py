"""How properties of neurons go together, after the paper's Figures 9 and 10."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.stats import linregress

from un_lightning.figures.style import FAINT, INK, MARK, REST, SEQUENTIAL, UNIVERSAL, style


_FEW = 100
"""Neurons that are marked one by one, for a histogram of them shows its bins."""


@style()
def cos_against_frequency(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Show that neurons that fire often write against what they read (Figure 9).

    Args:
        tables: By model, one row a neuron with `sparsity` and `in_out_sim`.

    Returns:
        A panel a model: number of neurons in each cell, the least-squares line, and Pearson's correlation.
    """
    figure = Figure(figsize=(1.0 + 3.5 * len(tables), 3.9))
    row = figure.subplots(1, len(tables), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (model, table) in zip(row, tables.items(), strict=True):
        pair = table[["sparsity", "in_out_sim"]].to_numpy(dtype=np.float64)
        pair = pair[np.isfinite(pair).all(1)]
        bins = int(np.clip(np.sqrt(len(pair)), 20, 100))
        cells = axes.hist2d(*pair.T, bins=bins, range=[[0, 1], [-1, 1]], cmap=SEQUENTIAL, norm=LogNorm(0.5))
        if len(pair) > 2 and np.ptp(pair[:, 0]) > 0:
            fit: Any = linregress(*pair.T)  # its stubs know no fields
            ends = np.array([pair[:, 0].min(), pair[:, 0].max()])
            axes.plot(ends, fit.intercept + fit.slope * ends, color=MARK, label=f"r = {fit.rvalue:.2f}")
            axes.legend(loc="upper right")
        axes.axhline(0, color=FAINT, linewidth=0.6)
        axes.set_title(f"{model}, {len(pair):,} neurons")
        axes.set_xlabel("activation frequency")
        axes.set_ylim(-1, 1)
        figure.colorbar(cells[3], ax=axes, label="neurons in the cell", location="bottom", shrink=0.8)
    row[0].set_ylabel("cos($w_{in}$, $w_{out}$)")
    return figure


@style()
def redundancy(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Show that universal neurons have nearer neighbours in their own model than others (Figure 10).

    Args:
        tables: By model, one row a neuron with `group` (1 universal, 0 rest), `in_in_max`, `out_out_max` and
            `excess_corr`.

    Returns:
        A column a model: densities of the largest cosine with another neuron, by what neurons read and by
        what they write, and the correlation of that cosine with the excess. Groups of fewer than 100 neurons
        are a mark a neuron, with a dot at their median.
    """
    figure = Figure(figsize=(1.0 + 3.5 * len(tables), 5.2))
    grid = figure.subplots(2, len(tables), sharex=True, squeeze=False)
    for column, (model, table) in enumerate(tables.items()):
        group = table["group"].to_numpy()
        for axes, name, side in zip(
            grid[:, column], ("in_in_max", "out_out_max"), ("in", "out"), strict=True
        ):
            values = table[name].to_numpy(dtype=np.float64)
            kept = np.isfinite(values) & (group >= 0)
            edges = np.histogram_bin_edges(values[kept], int(np.clip(np.sqrt(kept.sum()), 15, 80)))
            rugs: list[tuple[np.ndarray, str, str]] = []
            for label, colour, what in ((0, REST, "others"), (1, UNIVERSAL, "universal")):
                here = values[kept & (group == label)]
                if 0 < len(here) < _FEW:
                    rugs.append((here, colour, f"{len(here):,} {what}, dot: median"))
                elif len(here):
                    heights, _ = np.histogram(here, edges, density=True)
                    axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
                    axes.stairs(heights, edges, color=colour, linewidth=1.6, label=f"{len(here):,} {what}")
            _rugs(axes, rugs)
            axes.set_xlabel(rf"$\max_j\ \cos(w_{{{side}}}^i, w_{{{side}}}^j)$")
            axes.xaxis.set_tick_params(labelbottom=True)
            excess = table["excess_corr"].to_numpy(dtype=np.float64)
            r = np.corrcoef(values[kept], excess[kept])[0, 1] if kept.sum() > 2 else np.nan
            axes.set_title(f"{model}: r = {r:.2f} with the excess" if np.isfinite(r) else model)
            axes.legend(loc="upper right")
    for axes in grid[:, 0]:
        axes.set_ylabel("density")
    return figure


def _rugs(axes: Axes, rugs: Sequence[tuple[np.ndarray, str, str]]) -> None:
    """Marks below zero, a row a group: values, colour and label of each."""
    top = axes.get_ylim()[1]
    for row, (values, colour, label) in enumerate(rugs):
        place = np.full(len(values), -(0.09 + 0.13 * row) * top)
        axes.plot(values, place, "|", color=colour, markersize=10, markeredgewidth=1.3, label=label)
        axes.plot(np.median(values), place[0], "o", color=colour, markeredgecolor=INK, markersize=6)
    axes.set_ylim(-(0.04 + 0.13 * len(rugs)) * top if rugs else 0, 1.45 * top)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1.45 * top])
