"""Neuron tables from runs and files, as reports take them."""

from pathlib import Path

import numpy as np
import pandas as pd

from un_lightning.errors import UserError
from un_lightning.files import reason
from un_lightning.results.results import table_path
from un_lightning.results.runs import LATEST


KEYS = ["model", "layer", "neuron"]
"""Columns by which tables of the same model are joined."""
_NO_PROPERTIES = (
    "corr", "baseline", "excess", "chance", "support_", "effective_tokens", "cosine", "jaccard", "linreg",
    "matching", "mutual", "followed", "bin_width", "outside", "cluster",
)  # fmt: skip
"""Parts of names of columns that say how universal a neuron is, or how a number was computed."""


def read_tables(tables: str | list[str] | dict[str, str]) -> dict[str, pd.DataFrame]:
    """Read neuron tables, one entry a model.

    A table with a column `model` may hold several models, and each is called by that column; otherwise the
    file's folder gives the name, as in `pythia-160m/universal.csv`. Names that the config gives come first.

    Args:
        tables: One path, several, or names with paths.

    Returns:
        Tables by model, sorted by layer and neuron.

    Raises:
        UserError: A table is missing or no neuron table, or two models have the same name.
    """
    named = tables if isinstance(tables, dict) else {}
    paths = [tables] if isinstance(tables, str) else list(tables)
    found: dict[str, pd.DataFrame] = {}
    for name, path in named.items() or [("", path) for path in paths]:
        whole = read_table(path)
        models = [*whole.groupby("model", sort=False)] if "model" in whole else [(_name(Path(path)), whole)]
        for model, part in models:
            label = str(model) if not name else name if len(models) == 1 else f"{name}/{model}"
            if label in found:
                raise UserError(
                    f"two tables hold a model '{label}': name them, as in "
                    f"'analysis.tables={{first: {paths[0]}, second: …}}'"
                )
            found[label] = part.sort_values(["layer", "neuron"], ignore_index=True)
    return found


def read_table(path: str) -> pd.DataFrame:
    """Read one neuron table.

    Args:
        path: Folder of a finished run, parquet file or CSV file.

    Raises:
        UserError: There is no such table, it cannot be read, or its rows are no neurons.
    """
    file = _file(Path(path).expanduser())
    try:
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    except FileNotFoundError as error:
        raise UserError(
            f"there is no neuron table at {file}: give the folder of a run, a parquet file or a CSV file; "
            "experiments/run.py experiment=FAMILY/neuron_table makes one, as in tiny/neuron_table"
        ) from error
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read the neuron table {file}: {why}") from error
    lacking = [name for name in ("layer", "neuron") if name not in table]
    if lacking or table.empty:
        raise UserError(f"{file} is no neuron table: it has no {' and no '.join(lacking) or 'rows'}")
    keys = [name for name in KEYS if name in table]
    if table.duplicated(keys).any():
        raise UserError(f"{file} holds a neuron twice: every pair of layer and neuron of a model is one row")
    return table


def with_groups(table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Mark which neurons are universal, which are the rest, and which are neither.

    Neurons without a correlation (constant ones) are in no group, rather than among the rest.

    Args:
        table: A neuron table.
        threshold: Excess correlation above which a neuron is universal.

    Returns:
        A copy with `excess_corr` and with `group`: 1 for universal, 0 for the rest, -1 for neither.

    Raises:
        UserError: The table has neither `excess_corr` nor what it is computed from.
    """
    if "excess_corr" not in table and not {"mean_corr", "mean_baseline"} <= {*table}:
        raise UserError(
            "a neuron table has no column excess_corr (nor mean_corr and mean_baseline): join it with a run "
            "of analysis=correlation, as experiment=FAMILY/neuron_table does"
        )
    table = table.copy()
    if "excess_corr" not in table:
        table["excess_corr"] = table["mean_corr"] - table["mean_baseline"]
    excess = table["excess_corr"].to_numpy(dtype=np.float64)
    table["group"] = np.where(np.isfinite(excess), (excess > threshold).astype(np.int8), np.int8(-1))
    return table


def comparable_columns(table: pd.DataFrame, chosen: list[str]) -> list[str]:
    """Columns in which groups are compared: those that were chosen, or all that are properties.

    What says how universal a neuron is (its correlations) is no property of it.

    Raises:
        UserError: A chosen column does not exist or holds no numbers.
    """
    numbers = [
        str(name)
        for name in table.columns
        if pd.api.types.is_numeric_dtype(table[name]) and not pd.api.types.is_bool_dtype(table[name])
    ]
    own = lambda name: name not in (*KEYS, "group") and not any(part in name for part in _NO_PROPERTIES)
    keep = [name for name in numbers if own(name)]
    for name in chosen:
        if name not in numbers:
            raise UserError(f"analysis.columns names '{name}', but the numbers are {', '.join(keep)}")
    return chosen or [name for name in keep if np.isfinite(table[name]).any()]


def _file(path: Path) -> Path:
    if path.name == LATEST and not path.exists():
        pointer = path.with_name(f"{LATEST}.txt")  # where the file system has no links
        path = path.with_name(pointer.read_text().strip()) if pointer.is_file() else path
    return path if path.suffix in (".csv", ".parquet") else table_path(path, "neurons")


def _name(path: Path) -> str:
    return path.resolve().parent.name
