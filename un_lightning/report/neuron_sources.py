"""Which of the given runs says what about the neurons of a model."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from un_lightning.errors import UserError
from un_lightning.report.finished import Run, find_runs


KEYS = ["model", "layer", "neuron"]
PRECEDENCE = ("correlation", "activations", "weights", "families", "prediction", "neuron_table")
"""Analyses whose columns come first, and win where two have a column of one name."""
SHOWN = (
    "neurons", "matches", "examples", "histograms", "positions", "texts", "tokens", "neighbours",
    "best_labels", "explanations", "next_token", "curves", "effects", "pairs", "sets", "contrasts",
)  # fmt: skip
"""Tables that pages show."""


class Sources:
    """Tables of several runs of one family, by analysis, name and model.

    Of several runs of one analysis that have the same table of the same model, the last one counts.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        """Look into the runs' tables.

        Args:
            runs: Finished runs. The parts of a neuron table stand in for it where they still exist.

        Raises:
            UserError: The runs are of several families or of units that are no neurons, none has a table of
                neurons, or a table cannot be read.
        """
        self.runs = _with_parts(runs)
        self._paths: dict[tuple[str, str], dict[str, Path]] = {}
        for run in self.runs:
            for name, path in run.tables().items():
                if name in SHOWN:
                    for model in _models(path):
                        self._paths.setdefault((run.analysis, name), {})[model] = path
        known = {str(family): None for run in self.runs if (family := run.summary.get("family"))}
        if len(known) > 1:
            raise UserError(f"the runs are of {', '.join(known)}; pages show the neurons of one family")
        self.family = next(iter(known), "")
        sites = {
            str(run.summary["site"])
            for run in self.runs
            if run.analysis == "correlation" and "site" in run.summary
        }
        if len(sites) > 1:
            raise UserError(f"the correlations are of different units ({', '.join(sorted(sites))})")
        self.models = list(dict.fromkeys(model for a in self.analyses() for model in self.of(a, "neurons")))
        if not self.models:
            raise UserError(
                "none of these runs has a table of neurons: give runs of correlation, activations, …"
            )

    def analyses(self) -> list[str]:
        """Analyses that there are runs of, those whose columns come first in front."""
        found = dict.fromkeys(run.analysis for run in self.runs)
        return [*(a for a in PRECEDENCE if a in found), *(a for a in found if a not in PRECEDENCE)]

    def of(self, analysis: str, table: str) -> dict[str, Path]:
        """Files of a table of an analysis by model."""
        return self._paths.get((analysis, table), {})

    def files(self, table: str) -> Iterable[Path]:
        """Files of a table of any analysis, each once."""
        return dict.fromkeys(
            p for (_, name), own in self._paths.items() if name == table for p in own.values()
        )

    @property
    def reference(self) -> str:
        """The model that most of the tables are about."""
        counts = {model: sum(model in own for own in self._paths.values()) for model in self.models}
        return max(counts, key=lambda model: counts[model])

    def rows(self, analysis: str, table: str, model: str, layer: int | None = None) -> pd.DataFrame:
        """Rows of a table about one model, or one of its layers; none where no run has the table.

        Raises:
            UserError: The table cannot be read.
        """
        path = self.of(analysis, table).get(model)
        if path is None:
            return pd.DataFrame()
        wanted: list[tuple[str, str, str | int]] = (
            [("model", "==", model)] if "model" in pq.read_schema(path).names else []
        )
        if layer is not None:
            wanted.append(("layer", "==", layer))
        try:
            return pd.read_parquet(path, filters=wanted or None)
        except (OSError, ValueError) as error:
            raise UserError(f"the table {path} cannot be read: {error}") from error


def _with_parts(runs: Sequence[Run]) -> list[Run]:
    """Runs, and in front of each neuron table the runs that it joins."""
    found: dict[Path, Run] = {}
    for run in runs:
        parts = [Path(str(value)) for key, value in run.summary.items() if key.startswith("parts/")]
        for part in parts:
            if part.is_dir():
                for each in find_runs([str(part)], part):
                    found.setdefault(each.folder.resolve(), each)
        found[run.folder.resolve()] = run
    return list(found.values())


def _models(path: Path) -> list[str]:
    """Models that a table is about; the empty name where it is about none in particular."""
    try:
        if "model" not in pq.read_schema(path).names:
            return [""]
        column = pq.read_table(path, columns=["model"]).column("model")
    except (OSError, ValueError) as error:
        raise UserError(f"the table {path} cannot be read: {error}") from error
    return [str(model) for model in column.unique().to_pylist() if model is not None]
