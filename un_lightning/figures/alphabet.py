"""Neurons of single letters, after the paper's figure of the alphabet."""

from string import ascii_lowercase

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from un_lightning.figures.label_density import DENSITY_LEGEND, label_density
from un_lightning.figures.style import FAINT, MARK, MATCH, style


_ACROSS = 6


@style()
def alphabet(
    neurons: pd.DataFrame,
    label_neurons: pd.DataFrame,
    distributions: pd.DataFrame,
    criterion: float,
    panels: int = 12,
) -> Figure:
    """Show how well the best neuron of each letter fits it, and the neurons that fit best.

    Args:
        neurons: The neuron table, whose index is the neuron's column.
        label_neurons: `label, rank, layer, neuron, vr`.
        distributions: `column, label, low, high, having, lacking`.
        criterion: Reduction in variance that makes a neuron of the alphabet.
        panels: Neurons that are shown one by one.

    Returns:
        Bars by letter, and densities below.
    """
    best = label_neurons[label_neurons["rank"] == 1].set_index("label")
    vr = np.array([best["vr"].get(f"letter/{letter}", np.nan) for letter in ascii_lowercase])
    order = [int(i) for i in np.argsort(-np.nan_to_num(vr, nan=-1), kind="stable") if np.isfinite(vr[i])][
        :panels
    ]
    rows = -(-len(order) // _ACROSS)
    figure = Figure(figsize=(10.5, 2.5 + 1.7 * rows))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.3, 1.7 * rows + 0.01])[:, 0]
    axes = above.subplots()
    met = vr > criterion
    axes.bar(range(26), np.nan_to_num(vr), color=[MATCH if ok else FAINT for ok in met])
    axes.axhline(criterion, color=MARK, linestyle="--", linewidth=1, label=f"criterion: {criterion:g}")
    for place in np.flatnonzero(np.isnan(vr)):
        axes.text(place, 0.02, "rare", rotation=90, ha="center", color=FAINT, fontsize=8)
    axes.set_xticks(range(26), list(ascii_lowercase))
    axes.set_xlim(-0.7, 25.7)
    axes.set_ylim(0, 1)
    axes.set_ylabel("reduction in variance\nby the best neuron")
    axes.legend(loc="upper right")
    families = neurons.loc[neurons["family"] == "alphabet", "label"].nunique() if "family" in neurons else 0
    axes.set_title(
        f"{int(met.sum())} letters have a neuron above the criterion; "
        f"{families} are the best label of a neuron of the family alphabet"
    )
    if not order:
        return figure
    known = distributions.set_index(["column", "label"])
    column_of = {(row.layer, row.neuron): row.Index for row in neurons[["layer", "neuron"]].itertuples()}
    grid = below.subplots(rows, _ACROSS, squeeze=False).flatten()
    for place, index in zip(grid, order, strict=False):
        label = f"letter/{ascii_lowercase[index]}"
        layer, neuron = (int(best[name][label]) for name in ("layer", "neuron"))
        label_density(place, known, (column_of[layer, neuron], label))
        place.set_title(f"“{ascii_lowercase[index]}”  L{layer}.{neuron}\nVR {vr[index]:.2f}", fontsize=8)
    for place in grid[len(order) :]:
        place.set_axis_off()
    below.supxlabel("pre-activation", fontsize=10)
    below.legend(handles=DENSITY_LEGEND, loc="outside upper left", ncols=2)
    return figure
