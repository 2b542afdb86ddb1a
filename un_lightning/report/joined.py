"""Neuron tables of several runs as one, column beside column, and as compact data for a page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from un_lightning.errors import UserError
from un_lightning.report.finished import Run


KEYS = ["model", "layer", "neuron"]
MOST_NAMES = 1000
"""Different texts of a column that is shown; longer ones, such as examples, are left out."""
MOST_CELLS = 8_000_000
"""Cells of a page's table (four bytes each): more columns are left out, and named."""


@dataclass(frozen=True)
class Joined:
    """The neuron tables of runs of one family."""

    title: str
    runs: tuple[Run, ...]
    table: pd.DataFrame
    """One row a neuron; `column` where all runs agree, else `column·A`, `column·B`, and with two runs of one
    analysis their difference, `column·B-A`."""
    left_out: tuple[str, ...]
    """Columns that are too many or no numbers, truth values or short texts."""


def join_neurons(runs: Sequence[Run]) -> list[Joined]:
    """Join the neuron tables of runs of the same family and site.

    Args:
        runs: Runs; those without a table `neurons` are left out.

    Raises:
        UserError: A table cannot be read.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if "neurons" in run.tables():
            groups.setdefault((_family(run), _site(run)), []).append(run)
    return [_join(f"{family}, {site}", tuple(members)) for (family, site), members in groups.items()]


def _family(run: Run) -> str:
    return str(run.summary.get("family") or run.config.get("models.family") or "tables")


def _site(run: Run) -> str:
    return str(run.summary.get("site") or run.config.get("analysis.site") or "mlp_post")


def _join(title: str, runs: tuple[Run, ...]) -> Joined:
    tables = {run.label: _read(run) for run in runs}
    rows = pd.concat([table.index.to_frame() for table in tables.values()]).drop_duplicates()
    index = pd.MultiIndex.from_frame(rows).sort_values()
    left_out: dict[str, None] = {}
    columns: dict[str, pd.Series] = {}
    names = dict.fromkeys(str(name) for table in tables.values() for name in table)
    for name in names:
        parts = {label: table[name] for label, table in tables.items() if name in table}
        if not all(_can_show(part) for part in parts.values()):
            left_out[name] = None
            continue
        if len(columns) * len(index) > MOST_CELLS:
            left_out[name] = None
            continue
        columns |= _columns(name, {label: part.reindex(index) for label, part in parts.items()})
    table = pd.DataFrame(columns, index=index).reset_index()
    return Joined(title, runs, table, tuple(left_out))


def _columns(name: str, parts: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """One column where no two runs say different things of a neuron, else one a run."""
    merged = next(iter(parts.values()))
    for part in parts.values():
        both = merged.notna() & part.notna()
        if not (merged[both] == part[both]).all():
            break
        merged = merged.where(merged.notna(), part)
    else:
        return {name: merged}
    columns = {f"{name}·{label}": part for label, part in parts.items()}
    if len(parts) == 2 and all(_is_number(part) for part in parts.values()):
        a, b = parts
        columns[f"{name}·{b}-{a}"] = parts[b].astype(float) - parts[a].astype(float)
    return columns


def _read(run: Run) -> pd.DataFrame:
    try:
        table = pd.read_parquet(run.tables()["neurons"])
    except (OSError, ValueError) as error:
        raise UserError(f"the neuron table of {run.folder} cannot be read: {error}") from error
    if "model" not in table:
        table = table.assign(model=str(run.summary.get("model", "")))
    if not {*KEYS} <= {*table.columns} or table.duplicated(KEYS).any():
        raise UserError(f"the neuron table of {run.folder} does not name each neuron once")
    table["model"] = table["model"].astype(str)
    return table.set_index(KEYS)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _can_show(column: pd.Series) -> bool:
    if _is_number(column) or pd.api.types.is_bool_dtype(column):
        return True
    values = column.dropna()
    return all(isinstance(value, str | bool) for value in values) and values.nunique() <= MOST_NAMES


def packed(table: pd.DataFrame) -> dict[str, Any]:
    """A table as a page's script reads it: each column a string of bytes in base64.

    Returns:
        `rows`, and `columns` of `name`, `kind` and `data`: `number` little-endian float32, NaN where there is
        none; `integer` int32; `flag` int8, -1 where there is none; `text` uint16 places in `names`.
    """
    columns = []
    for name in table:
        column = table[name]
        entry: dict[str, Any] = {"name": str(name)}
        if pd.api.types.is_bool_dtype(column) or _only(column, bool):
            values = column.map({True: 1, False: 0}).fillna(-1).to_numpy("<i1")
            entry["kind"] = "flag"
        elif pd.api.types.is_integer_dtype(column) and column.abs().max() < 2**31:
            values, entry["kind"] = column.to_numpy("<i4"), "integer"
        elif _is_number(column):
            values, entry["kind"] = column.to_numpy("<f4", na_value=np.nan), "number"
        else:
            texts = column.fillna("").astype(str)
            entry["names"] = [*dict.fromkeys(texts)]
            values = texts.map({text: place for place, text in enumerate(entry["names"])}).to_numpy("<u2")
            entry["kind"] = "text"
        columns.append(entry | {"data": base64.b64encode(values.tobytes()).decode()})
    return {"rows": len(table), "columns": columns}


def _only(column: pd.Series, kind: type) -> bool:
    values = column.dropna()
    return column.dtype == object and len(values) > 0 and all(isinstance(value, kind) for value in values)
