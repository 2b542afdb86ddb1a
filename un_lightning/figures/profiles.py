"""What a neuron does along a block: the panels of its profile."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from un_lightning.figures.style import MARK


MEAN_LABEL = "pre-activation:\nmean ± sd"
FIRES_LABEL = "fires\n(% of tokens)"
CAPTION = "band: ± sd of tokens at a position (all positions pooled); dashed: zero, above which it fires"


def profile(above: Axes, below: Axes, neuron: pd.Series, colour: str) -> None:
    """Draw mean and spread of the pre-activation by position, and how often the neuron fires.

    Args:
        above: Panel of the pre-activation, which always shows zero.
        below: Panel of the firing rate.
        neuron: By position `mean` and `sparsity`, NaN where no token counts; and `sd`, without which (tables
            of older runs) there is no band.
        colour: Of both lines.
    """
    mean = np.asarray(neuron["mean"], dtype=np.float64)
    where = np.arange(len(mean))
    if "sd" in neuron and np.isfinite(neuron["sd"]):
        above.fill_between(
            where, mean - neuron["sd"], mean + neuron["sd"], color=colour, alpha=0.25, linewidth=0
        )
    above.plot(where, mean, color=colour)
    above.axhline(0, color=MARK, linestyle="--", linewidth=1)
    below.plot(where, neuron["sparsity"], color=colour)
    below.set_ylim(-0.03, 1.03)
    below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in (above, below):
        axes.set_xlim(0, max(1, len(where) - 1))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    above.set_xticklabels([])
