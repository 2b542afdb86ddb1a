"""What an analysis found: scalars, tables and figures, and how they lie in a run folder."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from un_lightning.errors import UserError
from un_lightning.files import atomic_path, atomic_write, make_folder, reason
from un_lightning.results.checksums import write_checksums
from un_lightning.results.runs import SUMMARY


DOTS_PER_INCH = 150
FORMATS = {"png": {}, "pdf": {"CreationDate": None}}
"""Formats of figures, with what makes equal figures equal files: pixels for pages, vectors for papers."""


@dataclass
class Results:
    """The findings of one run."""

    scalars: dict[str, float | int | str | bool | list | dict] = field(default_factory=dict)
    """By name in `area/name` form, such as `universal/percent`; NaN is a number that does not exist."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By file name without its ending. Row indices are not kept: what matters is a column."""
    figures: dict[str, Figure] = field(default_factory=dict)
    """By file name without its ending."""
    headline: list[tuple[str, str]] = field(default_factory=list)
    """Rows of the short table that ends a run: label and formatted value."""

    def numbers(self) -> dict[str, float | int]:
        """The scalars that are finite numbers, those that can be a point of a curve."""
        scalars = plain(self.scalars)
        return {name: value for name, value in scalars.items() if isinstance(value, int | float)}

    def write(self, folder: Path) -> None:
        """Write tables, figures and, last, the summary: a folder that has a summary has everything.

        An older summary is removed first, so that a run that dies here does not pass for a finished one.

        Args:
            folder: The run folder; it is made if it does not exist.

        Raises:
            UserError: A file cannot be written (full disk, read-only folder).
            ValueError: The name of a table or figure is no file name.
        """
        for path in (folder / "tables", folder / "figures"):
            make_folder(path)
        summary = folder / SUMMARY
        try:
            summary.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot replace {summary}: {reason(error)}") from error
        for name, table in self.tables.items():
            with atomic_path(table_path(folder, name)) as temporary:
                table.to_parquet(temporary, index=False)
        for name, figure in self.figures.items():
            for ending, metadata in FORMATS.items():
                with atomic_path(figure_path(folder, name, ending)) as temporary:
                    figure.savefig(temporary, dpi=DOTS_PER_INCH, format=ending, metadata=metadata)
        text = json.dumps(plain(self.scalars), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        text += "\n"
        written = [table_path(folder, name) for name in self.tables]
        written += [figure_path(folder, name, ending) for name in self.figures for ending in FORMATS]
        names = [path.relative_to(folder).as_posix() for path in written]
        write_checksums(folder, names, {SUMMARY: text})
        atomic_write(summary, text)


def results_of(report: Callable[[], Any]) -> Results:
    """What a report found, held against what a run can write down before anything is written.

    Raises:
        UserError: It is no `Results`, or has scalars that are no numbers or texts, or names that no file can
            have; the message names the report.
    """
    found = report()
    name = getattr(report, "__qualname__", type(report).__name__)
    if not isinstance(found, Results):
        raise UserError(f"{name} returned a {type(found).__name__}, but must return Results")
    try:
        json.dumps(plain(found.scalars))
        for file in (*found.tables, *found.figures):
            _file_name(file)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} found what cannot be written down: {error}") from error
    return found


def table_path(folder: Path, name: str) -> Path:
    """Where a run folder keeps the table `name`."""
    return folder / "tables" / f"{_file_name(name)}.parquet"


def figure_path(folder: Path, name: str, ending: str = "png") -> Path:
    """Where a run folder keeps the figure `name`, in one of `FORMATS`."""
    return folder / "figures" / f"{_file_name(name)}.{ending}"


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the scalars of a finished run.

    Args:
        folder: The run folder.

    Returns:
        The scalars by name; a number that does not exist (NaN) is None.

    Raises:
        UserError: The folder has no readable summary, because its run did not finish or it is no run folder.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no finished run: there is no {SUMMARY}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    except ValueError as error:
        raise UserError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(summary, dict):
        raise UserError(f"{path} holds no scalars by name")
    return summary


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or not name.isprintable():
        raise ValueError(f"{name!r} cannot be the name of a table or figure")
    return name


def plain(value: Any) -> Any:
    """Turn numpy's values, at any depth, into Python's; NaN and infinities, which JSON lacks, become None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
