"""Universal neurons over training."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from un_lightning.figures.style import BASELINE, EMPTY, FAINT, MATCH, SEQUENTIAL, UNIVERSAL, style


@style()
def emergence(checkpoints: pd.DataFrame, layers: pd.DataFrame) -> Figure:
    """Show how many neurons are universal at each checkpoint, whether they stay so, and in which layers.

    Args:
        checkpoints: Table `checkpoints` of one model, in the order of training.
        layers: Table `layers` of the same model.
    """
    figure = Figure(figsize=(12.4, 3.5))
    share, stay, depth = figure.subplots(1, 3)
    place = np.arange(len(checkpoints))
    percent = checkpoints["percent"].to_numpy()
    error = [percent - checkpoints["percent_low"], checkpoints["percent_high"] - percent]
    share.errorbar(place, percent, error, color=UNIVERSAL, marker="o", capsize=3, label="universal")
    ever = 100 * checkpoints["ever"].to_numpy() / checkpoints["neurons"].to_numpy()
    share.plot(place, ever, color=FAINT, linestyle="--", label="so far, ever")
    share.bar(
        place, 100 * checkpoints["first"] / checkpoints["neurons"], width=0.5, color=UNIVERSAL, alpha=0.25,
        label="for the first time",
    )  # fmt: skip
    share.set_ylim(bottom=0)
    share.set_ylabel("% of neurons")
    share.set_title("emergence")
    share.legend(loc="upper left")
    stay.plot(
        place, 100 * checkpoints["persistence"], color=MATCH, marker="o", label="at the next checkpoint"
    )
    stay.plot(
        place[:-1],
        100 * checkpoints["kept_to_last"].iloc[:-1],
        color=UNIVERSAL,
        marker="s",
        label="at the last one",
    )
    stay.plot(place, 100 * checkpoints["by_chance"], color=BASELINE, linestyle="--", label="next, by chance")
    stay.set_ylim(-3, 103)
    stay.set_ylabel("% of the checkpoint's universal\nneurons that are universal")
    stay.set_title("persistence")
    stay.legend(loc="best")
    grid = layers.pivot_table(index="layer", columns="checkpoint", values="percent", sort=False)
    grid = grid.reindex(columns=checkpoints["checkpoint"])
    depth.grid(visible=False)
    image = depth.imshow(
        grid.to_numpy(),
        origin="lower",
        aspect="auto",
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=max(1e-9, grid.max().max()),
    )
    depth.set_facecolor(EMPTY)
    depth.yaxis.set_major_locator(MaxNLocator(integer=True))
    depth.set_ylabel("layer")
    depth.set_title("% of each layer")
    figure.colorbar(image, ax=depth)
    for axes in (share, stay, depth):
        axes.set_xticks(place, checkpoints["checkpoint"], rotation=45 if len(place) > 5 else 0)
        axes.set_xlabel("checkpoint")
    return figure
