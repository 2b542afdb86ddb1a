"""A logarithmic axis with few and round numbers, whatever its range."""

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter


_DECADE = 10


def logarithmic(axes: Axes, low: float, high: float) -> None:
    """Make the y-axis logarithmic.

    Args:
        axes: Its axis.
        low: Lower end, above zero.
        high: Upper end.
    """
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    wide = high / low > _DECADE
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6) if wide else MaxNLocator(4))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
