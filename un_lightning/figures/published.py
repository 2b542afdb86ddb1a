"""Where the published universal neurons lie, and how their properties change with depth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from un_lightning.figures.log_axis import logarithmic
from un_lightning.figures.properties import LABELS
from un_lightning.figures.style import FAINT, HUES, UNIVERSAL, style


@style()
def universal_by_layer(tables: Mapping[str, pd.DataFrame], sizes: Mapping[str, tuple[int, int]]) -> Figure:
    """Show which share of each layer is universal.

    Args:
        tables: By model, one row a universal neuron with `layer`.
        sizes: By model, its layers and the neurons of a layer.
    """
    figure = Figure(figsize=(1.0 + 3.4 * len(tables), 3.1))
    row = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, (name, table) in zip(row, tables.items(), strict=True):
        layers, width = sizes[name]
        counts = np.bincount(table["layer"], minlength=layers)
        axes.bar(np.arange(layers), 100 * counts / width, width=0.75, color=UNIVERSAL)
        axes.set_title(f"{name}: {counts.sum():,} of {layers * width:,}")
        axes.set_xlabel("layer")
        axes.set_xticks(range(0, layers, 2 if layers > 12 else 1))
    row[0].set_ylabel("universal neurons\n(% of the layer)")
    return figure


@style()
def medians_by_depth(tables: Mapping[str, pd.DataFrame], sizes: Mapping[str, tuple[int, int]]) -> Figure:
    """Show medians of the universal neurons of each layer against relative depth.

    Args:
        tables: By model, one row a universal neuron with `layer` and the columns of the panels.
        sizes: By model, its layers and the neurons of a layer.

    Returns:
        A panel a column: medians as lines, the middle half of the neurons as a band.
    """
    columns = ("vocab_kurt", "vocab_skew", "in_out_sim", "l2_penalty")
    figure = Figure(figsize=(3.1 * len(columns), 3.4))
    row = figure.subplots(1, len(columns))
    for axes, column in zip(row, columns, strict=True):
        for (name, table), hue in zip(tables.items(), HUES, strict=False):
            grouped = table.groupby("layer")[column]
            low, middle, high = (grouped.quantile(level).to_numpy() for level in (0.25, 0.5, 0.75))
            depth = np.unique(table["layer"]) / max(sizes[name][0] - 1, 1)
            axes.fill_between(depth, low, high, color=hue, alpha=0.15, linewidth=0)
            axes.plot(depth, middle, color=hue, marker=".", label=name)
        axes.set_title(LABELS[column].replace("\n", " "))
        axes.set_xlabel("relative depth")
        if column == "vocab_kurt":
            logarithmic(axes, *axes.get_ylim())
        else:
            axes.axhline(0, color=FAINT, linewidth=0.6)
    handles, labels = row[0].get_legend_handles_labels()
    what = "lines: median of a layer's universal neurons; bands: their middle half (25–75 %)"
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), title=what, alignment="left")
    return figure
