"""How many neurons each family has: by layer, and among universal neurons and the rest."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from un_lightning.analyses.families.assignment import NAMES
from un_lightning.stats.wilson import wilson_interval


ALL = -1
"""The layer of rows that count all layers together."""


def count_table(neurons: pd.DataFrame) -> pd.DataFrame:
    """Valid neurons of each family.

    Args:
        neurons: One row a neuron, with `model, layer, valid, family` and perhaps `universal`.

    Returns:
        One row a model, group (`all`, `universal`, `rest`), layer (-1 for all) and family: `count` of
        `total`, `share`, and its 95 % interval `low` to `high` (Wilson).
    """
    rows = []
    for model, own in neurons[neurons["valid"]].groupby("model", sort=False):
        for group, members in _groups(own):
            for layer in (ALL, *sorted(own["layer"].unique())):
                part = members if layer == ALL else members[members["layer"] == layer]
                counts = part["family"].value_counts()
                rows += [
                    {"model": model, "group": group, "layer": int(layer), "family": family,
                     "count": int(counts.get(family, 0)), "total": len(part)}
                    for family in NAMES
                ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "group", "layer", "family", "count", "total"])
    count, total = (table[name].to_numpy(dtype=np.int64) for name in ("count", "total"))
    table["low"], table["high"] = wilson_interval(count, total)
    table.insert(6, "share", table["count"] / table["total"].where(table["total"] > 0))
    return table


def _groups(neurons: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", neurons
    if "universal" in neurons:
        known = neurons["universal"].notna()
        yield "universal", neurons[known & neurons["universal"].fillna(False)]
        yield "rest", neurons[known & ~neurons["universal"].fillna(True)]
