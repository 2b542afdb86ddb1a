"""Figure of the ablation of sets: what each changes, beside random sets of the same layers."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from un_lightning.figures.style import BASELINE, INK, MATCH, style


_PANELS = {
    "loss": "change of loss, nats",
    "kl": "KL(untouched ‖ ablated), nats",
    "entropy": "change of entropy, nats",
}


@style()
def set_effects(effects: pd.DataFrame, threshold: float, confidence: float) -> Figure:
    """Show the change of loss, divergence and entropy of every set.

    Args:
        effects: The table of that name.
        threshold: Excess correlation above which the set `universal` begins.
        confidence: Level of the intervals in `effects`.

    Returns:
        Three panels with a row a set and value: the set with its confidence interval, and its random sets.
    """
    rows = effects[["set", "value", "neurons"]].drop_duplicates().reset_index(drop=True)
    figure = Figure(figsize=(10.5, 1.5 + 0.6 * len(rows)))
    grid = [figure.add_subplot(1, len(_PANELS), place + 1) for place in range(len(_PANELS))]
    for axes, (metric, title) in zip(grid, _PANELS.items(), strict=True):
        own = effects[effects["metric"] == metric]
        for place, row in enumerate(rows.to_dict("records")):
            at = own["value"].isna() if np.isnan(row["value"]) else own["value"] == row["value"]
            part = own[(own["set"] == row["set"]) & at]
            random, chosen = part[part["draw"] > 0], part[part["draw"] == 0]
            axes.plot(random["change"], [place] * len(random), "o", color=BASELINE, alpha=0.7, markersize=5)
            reach = np.nan_to_num((chosen["change_high"] - chosen["change"]).to_numpy())
            axes.errorbar(chosen["change"], [place], xerr=reach, fmt="o", color=MATCH, capsize=3)
        axes.axvline(0, color=INK, linestyle="--", linewidth=1)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(title)
    at = ["" if np.isnan(value) else f" at {value:g}" for value in rows["value"]]
    labels = [
        f"{name}{f' (excess > {threshold:g})' if name == 'universal' else ''}{where}\n{count:,} neurons"
        for name, where, count in zip(rows["set"], at, rows["neurons"], strict=True)
    ]
    grid[0].set_yticks(range(len(rows)), labels)
    handles = [
        Line2D([], [], color=MATCH, marker="o", label=f"the set, {confidence:.0%} interval"),
        Line2D(
            [],
            [],
            color=BASELINE,
            marker="o",
            linestyle="",
            label="as many random neurons of the same layers",
        ),
        Line2D([], [], color=INK, linestyle="--", linewidth=1, label="untouched"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure
