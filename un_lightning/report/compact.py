"""Numbers and rows of tables as short JSON."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


DIGITS = 4
"""Significant digits that pages keep."""

ByNeuron = dict[int, list[list[Any]]]
"""Rows of each neuron of a layer."""


def short(values: np.ndarray, digits: int = DIGITS) -> list[float | int | None]:
    """Numbers with few significant digits; None where a number is missing or infinite."""
    if values.dtype.kind in "iub":
        return values.tolist()
    wide = np.asarray(values, dtype=np.float64)
    known = np.isfinite(wide) & (wide != 0)
    power = np.zeros_like(wide)
    power[known] = digits - 1 - np.floor(np.log10(np.abs(wide[known])))
    np.clip(power, -300, 300, out=power)
    scale = 10.0 ** np.abs(power)
    # A whole number over a power of ten is the number closest to its decimals, so it is written as those.
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.where(power >= 0, np.round(wide * scale) / scale, np.round(wide / scale) * scale)
    return [value if math.isfinite(value) else None for value in rounded.tolist()]


def column(values: pd.Series) -> list[Any]:
    """A column as plain values, numbers shortened and missing ones None."""
    if values.dtype.kind in "fiub":
        return short(values.to_numpy())
    return [None if value is None or value is pd.NA or value != value else value for value in values.tolist()]


def by_neuron(table: pd.DataFrame, names: Sequence[str]) -> ByNeuron:
    """Group rows by neuron, in the order in which they stand.

    Args:
        table: Rows of one layer of one model.
        names: Columns to keep; those that the table lacks are None.
    """
    if table.empty:
        return {}
    table = table.sort_values("neuron", kind="stable")
    columns = [column(table[name]) if name in table else [None] * len(table) for name in names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    neurons, first = np.unique(table["neuron"].to_numpy(), return_index=True)
    ends = [*first[1:].tolist(), len(rows)]
    return {
        neuron: rows[start:end]
        for neuron, start, end in zip(neurons.tolist(), first.tolist(), ends, strict=True)
    }
