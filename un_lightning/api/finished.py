"""Finished runs, opened by folder or by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from un_lightning.api.findings import Findings, Named, Picture
from un_lightning.errors import UserError
from un_lightning.report import finished
from un_lightning.results.checksums import verify


if TYPE_CHECKING:
    import pandas as pd


class Run(Findings):
    """A finished run, as its folder records it."""

    def __init__(self, record: finished.Run) -> None:
        """Wrap what the folder records; `un_lightning.open_run` finds it."""
        if record.folder.is_symlink():  # `latest` will point at another run some day
            record = replace(record, folder=record.folder.with_name(record.folder.resolve().name))
        tables = {name: partial(_read, record.folder, path) for name, path in record.tables().items()}
        figures: dict[str, Callable[[], Picture]] = {
            name: partial(Picture, path) for name, path in record.figures().items()
        }
        title = f"{record.name} ({record.analysis})"
        super().__init__(title, record.summary, Named("table", tables), Named("figure", figures))
        self.folder: Path = record.folder
        """Where it lies."""
        self.name: str = record.name
        """Experiment and folder, such as `tiny/universality/2026-11-22_18-01-42`."""
        self.config: dict[str, Any] = record.config
        """What it was run with, by keys as the command line has them, such as `data.tokens`."""


def open_run(run: str | Path, root: str | Path = "runs") -> Run:
    """Open a finished run.

    Args:
        run: The run folder, or the name of an experiment, whose newest finished run is opened.
        root: The folder of all runs.

    Returns:
        Its summary, tables, figures and config. Tables are read when they are asked for, and compared with
        the hashes that the run wrote.

    Raises:
        UserError: There is no finished run, there are several, or it is of a newer version of un-lightning.
    """
    found = finished.find_runs([str(run)], Path(root), check=False)
    if len(found) > 1:
        raise UserError(
            f"{run} stands for {len(found)} runs: name one of them, or open all with runs('{run}')"
        )
    return Run(found[0])


def runs(*names: str | Path, root: str | Path = "runs") -> list[Run]:
    """Open finished runs.

    Args:
        *names: Run folders, folders that hold runs, patterns such as `tiny/*`, names of experiments (their
            newest run) or of sweeps (all points); none stands for everything below `root`.
        root: The folder of all runs.

    Returns:
        The runs in the order of the names, each once.

    Raises:
        UserError: A name stands for no finished run, or a run cannot be read.
    """
    words = [str(name) for name in names] or [str(root)]
    return [Run(found) for found in finished.find_runs(words, Path(root), check=False)]


def _read(folder: Path, path: Path) -> "pd.DataFrame":
    import pandas as pd

    verify(folder, [path.relative_to(folder).as_posix()])
    return pd.read_parquet(path)
