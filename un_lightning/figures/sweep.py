"""Figures of a sweep: its metric over the values that were varied."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from un_lightning.figures.style import INK, MARK, MATCH, SEQUENTIAL, panels, style


_PANELS_A_ROW = 3
_MOST_CELLS = 12
"""Rows or columns of a heat map that is still read; more values are drawn as dots."""
_MANY_DECADES = 30
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


@style()
def metric_over_parameters(
    points: pd.DataFrame, parameters: Sequence[str], metric: str, best: int | None = None
) -> Figure:
    """Draw a metric over the parameters of a sweep.

    Args:
        points: One row a finished point: `point`, the parameters and the metric; other points are left out.
        parameters: Columns that were varied.
        metric: Column of the metric.
        best: Number of the point to mark.

    Returns:
        One parameter: a line; two with few values each: a heat map; otherwise a panel of dots a parameter.

    Raises:
        ValueError: No parameter is named, or no point has the metric.
    """
    if not parameters or metric not in points:
        raise ValueError("a figure of a sweep needs a parameter and a metric")
    points = points[points[metric].notna()]
    if points.empty:
        raise ValueError(f"no point has the metric {metric}")
    few = [points[key].nunique() <= _MOST_CELLS for key in parameters]
    if len(parameters) == 2 and all(few) and not points.duplicated([*parameters]).any() and len(points) > 3:
        return _heat_map(points, parameters[0], parameters[1], metric, best)
    columns = min(len(parameters), _PANELS_A_ROW)
    rows = ceil(len(parameters) / columns)
    figure = Figure(figsize=(max(4.8, 3.2 * columns), 3.0 * rows))
    for place, key in enumerate(parameters):
        axes = figure.add_subplot(rows, columns, place + 1)
        _dots(axes, points, key, metric, best, line=len(parameters) == 1)
        if best is not None and place == 0:
            axes.set_title("the best is circled", color=MARK)
    return figure


def _dots(axes: Axes, points: pd.DataFrame, key: str, metric: str, best: int | None, line: bool) -> None:
    positions = _positions(axes, points[key])
    heights = points[metric].to_numpy(float)
    order = np.argsort(positions, kind="stable")
    if line:
        means = pd.Series(heights[order]).groupby(positions[order]).mean()
        axes.plot(means.index, means, color=MATCH, linewidth=1.2, alpha=0.6)
    axes.plot(positions, heights, "o", color=MATCH, markersize=5, alpha=0.8, clip_on=False)
    if best is not None:
        marked = (points["point"] == best).to_numpy()
        axes.plot(
            positions[marked], heights[marked], "o", color="none", markeredgecolor=MARK, markersize=11,
            markeredgewidth=1.6, clip_on=False,
        )  # fmt: skip
    axes.set(xlabel=key, ylabel=metric)


def _positions(axes: Axes, column: pd.Series) -> np.ndarray:
    """Where the values of a parameter stand; text and truth values stand side by side."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(float)
        if values.min() > 0 and values.max() > _MANY_DECADES * values.min():
            axes.set_xscale("log")
        return values
    names = list(dict.fromkeys(column.astype(str)))
    long = sum(map(len, names)) > 30
    axes.set_xticks(range(len(names)), names, rotation=30 if long else 0, ha="right" if long else "center")
    axes.set_xlim(-0.5, len(names) - 0.5)
    return column.astype(str).map({name: place for place, name in enumerate(names)}).to_numpy(float)


def _heat_map(points: pd.DataFrame, down: str, across: str, metric: str, best: int | None) -> Figure:
    """One cell a pair of values; a pair that has not run, or failed, stays white."""
    rows, columns = _ordered(points[down]), _ordered(points[across])
    table = points.pivot_table(index=down, columns=across, values=metric, sort=False, observed=True)
    values = table.reindex(index=rows, columns=columns).to_numpy(float)
    figure, (axes,) = panels(max(4.2, 1.6 + 0.9 * len(columns)), max(2.6, 1.4 + 0.55 * len(rows)))
    axes.grid(visible=False)
    image = axes.imshow(values, cmap=SEQUENTIAL, aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if value > middle else INK
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=ink, fontsize=9)
    for _, point in points[points["point"] == best].iterrows():
        place = columns.index(point[across]) - 0.5, rows.index(point[down]) - 0.5
        axes.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=MARK, linewidth=2.2, clip_on=False))
    axes.set_xticks(range(len(columns)), [_label(value) for value in columns])
    axes.set_yticks(range(len(rows)), [_label(value) for value in rows])
    axes.set(xlabel=across, ylabel=down)
    figure.colorbar(image, ax=axes, label=metric)
    return figure


def _ordered(column: pd.Series) -> list:
    """Numbers by size, everything else as it came."""
    values = list(dict.fromkeys(column))
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return sorted(values) if numeric else values


def _label(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
