"""The table of all neurons: columns of several analyses, joined, and packed one by one for a page."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from un_lightning.errors import UserError
from un_lightning.report.neuron_columns import FIRST, note
from un_lightning.report.neuron_sources import KEYS, Sources


@dataclass(frozen=True)
class Index:
    """All neurons in the order of models, layers and numbers."""

    models: list[str]
    table: pd.DataFrame
    """One row a neuron: `model, layer, neuron`, then what is known of it."""
    source: dict[str, str]
    """Analysis that each column comes from."""

    def blocks(self) -> list[tuple[int, int, pd.DataFrame]]:
        """Index of the model, layer, and rows of every layer of every model."""
        places = {model: place for place, model in enumerate(self.models)}
        keys = self.table[["model", "layer"]].drop_duplicates()
        groups = self.table.groupby(["model", "layer"])
        return [
            (places[model], layer, groups.get_group((model, layer)))
            for model, layer in zip(keys["model"].tolist(), keys["layer"].tolist(), strict=True)
        ]


def make_index(sources: Sources) -> Index:
    """Join the neuron tables.

    Raises:
        UserError: A table does not name each neuron once.
    """
    source: dict[str, str] = {}
    first = sources.reference
    models = [first, *(model for model in sources.models if model != first)]
    parts = [_of_model(sources, model, source) for model in models]
    table = pd.concat(parts, ignore_index=True)
    return Index(models, table[[*KEYS, *(name for name in source if name in table)]], source)


def _of_model(sources: Sources, model: str, source: dict[str, str]) -> pd.DataFrame:
    joined: pd.DataFrame | None = None
    for analysis in sources.analyses():
        table = sources.rows(analysis, "neurons", model)
        if table.empty:
            continue
        table = table.assign(model=model)
        if not {*KEYS} <= {*table.columns} or table.duplicated(KEYS).any():
            raise UserError(
                f"the neuron table of the {analysis} run does not name each neuron of {model} once"
            )
        table = table.set_index(KEYS)
        table = table[[name for name in table if _can_show(table[name])]]
        for name in table:
            source.setdefault(str(name), analysis)
        if joined is None:
            joined = table
            continue
        both = [name for name in table if name in joined]
        joined = joined.join(table.drop(columns=both), how="outer")
        for name in both:
            own = table[name].reindex(joined.index)
            if name == "valid":
                joined[name] = joined[name].fillna(own).astype(bool) & own.fillna(joined[name]).astype(bool)
            elif joined[name].isna().any():
                joined[name] = joined[name].where(joined[name].notna(), own)
    assert joined is not None
    return joined.sort_index().reset_index()


def _can_show(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return True
    values = column.dropna()
    return all(isinstance(value, str | bool) for value in values)


def catalogue(index: Index) -> list[dict[str, Any]]:
    """Name, kind, origin and meaning of every column, in the order in which a page shows them."""
    names = [str(name) for name in index.table if name not in KEYS]
    order = {name: place for place, name in enumerate(FIRST)}
    names.sort(key=lambda name: order.get(name, len(order)))
    return [
        {
            "name": name,
            "kind": _kind(index.table[name]),
            "from": index.source[name],
            "note": note(name),
            "first": name in order,
        }
        for name in names
    ]


def pack(column: pd.Series) -> dict[str, Any]:
    """A column as base64 of little-endian values.

    Numbers are float32, missing ones NaN; flags are int8, -1 for missing; texts are uint32 places among
    `names`, the first of which is empty and stands for missing.
    """
    kind = _kind(column)
    names: list[str] = []
    if kind == "number":
        values = pd.to_numeric(column).to_numpy(dtype="<f4", na_value=np.nan)
    elif kind == "integer":
        values = column.to_numpy(dtype="<i4")
    elif kind == "flag":
        values = np.array([-1 if pd.isna(value) else int(value) for value in column], dtype="<i1")
    else:
        filled = column.astype(object).where(column.notna(), "")
        codes, unique = pd.factorize(pd.concat([pd.Series([""], dtype=object), filled]), sort=False)
        values, names = codes[1:].astype("<u4"), [str(name) for name in unique]
    return {"kind": kind, "names": names, "data": base64.b64encode(values.tobytes()).decode()}


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "flag"
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        return "integer" if column.abs().max() < 2**31 else "number"
    if pd.api.types.is_numeric_dtype(column):
        return "number"
    values = column.dropna()
    return "flag" if len(values) and all(isinstance(value, bool) for value in values) else "text"
