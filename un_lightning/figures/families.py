"""Figures of the families analysis: how many neurons respond to what, and how clearly."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from un_lightning.figures.label_density import DENSITY_LEGEND, label_density
from un_lightning.figures.profiles import CAPTION as CAPTION_OF_PROFILES
from un_lightning.figures.profiles import FIRES_LABEL, MEAN_LABEL, profile
from un_lightning.figures.quantile_boxes import CAPTION, legend_patch, quantile_boxes
from un_lightning.figures.style import FAINT, HUES, INK, MATCH, REST, UNIVERSAL, style


_TITLES = {
    "unigram": "unigram",
    "alphabet": "alphabet",
    "vocabulary": "other token property",
    "previous": "previous token",
    "position": "position",
    "syntax": "syntax",
    "topic": "topic",
    "subset": "subset of the text",
    "other": "below every criterion",
    "unexplained": "unexplained",
}
_COLUMNS = 5
_MAX_LAYERS_WITH_NUMBERS = 6
_ACROSS = 4
_ROLE_COLOURS = {
    "word": HUES[0],
    "beginning": HUES[1],
    "middle": HUES[2],
    "other token": REST,
}


@style()
def families_by_layer(counts: pd.DataFrame) -> Figure:
    """Show how many neurons of each layer every family has.

    Args:
        counts: One row a group, layer (-1 for all) and family of one model, with `model, count, share, low`
            and `high`.

    Returns:
        One panel a family: share of the layer's neurons with its interval.
    """
    own = counts[counts["layer"] >= 0]
    layers = np.sort(own["layer"].unique())
    present = own.groupby("family")["count"].sum()
    families = [name for name in _TITLES if present.get(name, 0) > 0]
    rows = max(1, -(-len(families) // _COLUMNS))
    figure = Figure(figsize=(11.0, 2.3 * rows + 0.5))
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).flatten()
    for axes, family in zip(panels, families, strict=False):
        part = own[(own["family"] == family) & (own["group"] == "all")].sort_values("layer")
        _bars(axes, part, MATCH)
        if len(layers) <= _MAX_LAYERS_WITH_NUMBERS:
            for layer, count, high in zip(part["layer"], part["count"], part["high"], strict=True):
                axes.annotate(
                    f"{count}", (layer, high), (0, 1), textcoords="offset points", ha="center", fontsize=8
                )
        axes.set_title(_TITLES[family])
        axes.set_ylim(0, 1.14 * axes.get_ylim()[1])
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.tick_params(axis="x", labelbottom=True)
    for axes in panels[len(families) :]:
        axes.set_axis_off()
    model = counts["model"].iloc[0] if len(counts) else ""
    figure.supxlabel(f"layer of {model}", fontsize=10)
    figure.supylabel("share of the layer's neurons", fontsize=10)
    numbered = " (number above the bar)" if len(layers) <= _MAX_LAYERS_WITH_NUMBERS else ""
    handles: list[Artist] = [
        legend_patch(f"neurons{numbered}", MATCH),
        Line2D([], [], color=INK, linewidth=1, label="95 % interval"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


@style()
def families_by_universality(counts: pd.DataFrame) -> Figure:
    """Compare the families of universal neurons with those of the rest, over all layers.

    Args:
        counts: As for `families_by_layer`, with the groups `universal` and `rest`.

    Returns:
        Two bars a family, with their intervals.
    """
    own = counts[(counts["layer"] < 0) & counts["group"].isin(["universal", "rest"])]
    present = own.groupby("family")["count"].sum()
    families = [name for name in _TITLES if present.get(name, 0) > 0]
    figure = Figure(figsize=(6.5, 1.0 + 0.5 * max(1, len(families))))
    axes = figure.subplots()
    handles = []
    for group, colour, shift in (("universal", UNIVERSAL, -0.2), ("rest", REST, 0.2)):
        part = own[own["group"] == group].set_index("family").reindex(families)
        share = part["share"].to_numpy(dtype=np.float64)
        error = np.abs(np.stack([share - part["low"], part["high"] - share]))
        place = np.arange(len(families)) + shift
        axes.barh(place, share, height=0.38, color=colour)
        axes.errorbar(share, place, xerr=error, fmt="none", ecolor=INK, elinewidth=1)
        total = int(part["total"].iloc[0]) if len(part) else 0
        handles.append(
            legend_patch(f"{total:,} {'universal neurons' if group == 'universal' else 'others'}", colour)
        )
    axes.set_yticks(range(len(families)), [_TITLES[name] for name in families])
    axes.invert_yaxis()
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the neurons, with 95 % intervals")
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


@style()
def top_neurons(chosen: pd.DataFrame, distributions: pd.DataFrame) -> Figure:
    """Show what the best neurons of every family do at tokens with their label and without it.

    Args:
        chosen: Rows of the neuron table, whose index is the neuron's `column`, in the order of families.
        distributions: `column, label, low, high, having, lacking`.

    Returns:
        One row of panels a family.
    """
    families = [name for name in chosen["family"].unique() if name != "position"]
    rows = max(1, len(families))
    figure = Figure(figsize=(10.0, 1.75 * rows + 0.6))
    grid = figure.subplots(rows, _ACROSS, squeeze=False)
    known = distributions.set_index(["column", "label"])
    for line, family in zip(grid, families, strict=False):
        own = chosen[chosen["family"] == family].head(_ACROSS)
        for axes, (column, neuron) in zip(line, own.iterrows(), strict=False):
            label_density(axes, known, (column, neuron["label"]))
            auroc = f", AUROC {neuron['auroc']:.2f}" if np.isfinite(neuron["auroc"]) else ""
            axes.set_title(f"{_name(neuron)}  {neuron['label']}\nVR {neuron['vr']:.2f}{auroc}", fontsize=8)
        for axes in line[len(own) :]:
            axes.set_axis_off()
        line[0].set_ylabel(family)
    if not families:
        for axes in grid[0]:
            axes.set_axis_off()
        grid[0][0].text(0.5, 0.5, "no neuron has a family", ha="center", color=FAINT)
    for axes in grid[-1]:
        axes.set_xlabel("pre-activation")
    figure.legend(handles=DENSITY_LEGEND, loc="outside upper left", ncols=2)
    return figure


@style()
def position_profiles(positions: pd.DataFrame) -> Figure:
    """Show what the most positional neurons do along a block.

    Args:
        positions: Neurons by falling `eta2_position`, with `model, layer, neuron, family, position_mi` and,
            by position, `mean` and `sparsity`; NaN where no token counts. With `sd` there is a band.

    Returns:
        One column a neuron: mean pre-activation above, share of the tokens at which it fires below.
    """
    columns = max(1, len(positions))
    figure = Figure(figsize=(max(4.0, 1.5 * columns), 3.9))
    grid = figure.subplots(2, columns, squeeze=False)
    for place, (_, neuron) in enumerate(positions.iterrows()):
        above, below = grid[:, place]
        colour = MATCH if neuron["family"] == "position" else FAINT
        profile(above, below, neuron, colour)
        above.set_title(
            f"{_name(neuron)}\nη² {neuron['eta2_position']:.2f}\nMI {neuron['position_mi']:.2f}", fontsize=8
        )
        for axes in (above, below):
            axes.tick_params(labelsize=8)
        if place:
            below.set_yticklabels([])
    grid[0, 0].set_ylabel(MEAN_LABEL)
    grid[1, 0].set_ylabel(FIRES_LABEL)
    if positions.empty:
        for axes in grid[:, 0]:
            axes.set_axis_off()
        grid[0, 0].text(0.5, 0.5, "no neuron has a profile", ha="center", color=FAINT)
    model = positions["model"].iloc[0] if len(positions) else ""
    figure.supxlabel(f"position in the block, neurons of {model}", fontsize=10)
    handles = [
        Line2D([], [], color=MATCH, label="family of position"),
        Line2D([], [], color=FAINT, label="another family, or none"),
    ]
    about = CAPTION_OF_PROFILES if "sd" in positions else None
    figure.legend(handles=handles, loc="outside upper left", ncols=2, title=about, alignment="left")
    return figure


@style()
def word_roles(neurons: pd.DataFrame, roles: pd.DataFrame, panels: int = 12) -> Figure:
    """Show unigram neurons by what part of a word their string is (the paper's Figure 15).

    Args:
        neurons: The neuron table, with `layer, neuron, unigram_vr, role`.
        roles: One row a neuron and role, with `label, role, count, low, high, counts`.
        panels: How many neurons, the best first.

    Returns:
        One panel a neuron: boxes of its pre-activation for each role and for all other tokens.
    """
    keys = ["layer", "neuron"]
    order = roles[keys].drop_duplicates().merge(neurons[[*keys, "unigram_vr", "role"]], on=keys)
    order = order.sort_values("unigram_vr", ascending=False, kind="stable").head(panels)
    across = 6
    rows = max(1, -(-len(order) // across))
    figure = Figure(figsize=(11.0, 2.2 * rows + 0.6))
    grid = figure.subplots(rows, across, squeeze=False).flatten()
    for axes, (_, neuron) in zip(grid, order.iterrows(), strict=False):
        own = roles[(roles["layer"] == neuron["layer"]) & (roles["neuron"] == neuron["neuron"])]
        for place, name in enumerate(_ROLE_COLOURS):
            part = own[own["role"] == name]
            values = _spread(part.iloc[0]) if len(part) else np.empty(0)
            quantile_boxes(axes, float(place), values, width=0.8, colour=_ROLE_COLOURS[name])
        axes.set_xlim(-0.6, len(_ROLE_COLOURS) - 0.4)
        axes.set_xticks([])
        string = own["label"].iloc[0].removeprefix("unigram/")
        axes.set_title(
            f"“{string}”  {_name(neuron)}\nVR {neuron['unigram_vr']:.2f}, {neuron['role']}", fontsize=8
        )
    for axes in grid[len(order) :]:
        axes.set_axis_off()
    if order.empty:
        grid[0].text(0, 0.5, "no unigram neuron", color=FAINT)
    for axes in grid[: len(order) : across]:
        axes.set_ylabel("pre-activation")
    handles = [
        legend_patch(f"as {name}" if name == "word" else name, colour)
        for name, colour in _ROLE_COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, title=CAPTION, alignment="left")
    return figure


def _bars(axes: Axes, part: pd.DataFrame, colour: str) -> None:
    share = part["share"].to_numpy(dtype=np.float64)
    place = part["layer"].to_numpy()
    error = np.abs(np.stack([share - part["low"], part["high"] - share]))
    axes.bar(place, share, width=0.72, color=colour)
    axes.errorbar(place, share, yerr=error, fmt="none", ecolor=INK, elinewidth=1)


def _spread(row: pd.Series) -> np.ndarray:
    """Values that stand for a histogram: its quantiles, the middle of a bin each."""
    counts = np.asarray(row["counts"], dtype=np.float64)
    if counts.sum() == 0:
        return np.empty(0)
    width = (row["high"] - row["low"]) / (len(counts) - 2)
    middles = row["low"] + (np.arange(len(counts)) - 0.5) * width
    levels = (np.arange(1000) + 0.5) / 1000
    return middles[np.searchsorted(counts.cumsum() / counts.sum(), levels).clip(max=len(counts) - 1)]


def _name(neuron: pd.Series) -> str:
    return f"L{neuron['layer']}.{neuron['neuron']}"
