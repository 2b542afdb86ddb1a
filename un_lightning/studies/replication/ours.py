"""Our numbers: what finished runs say about one model, by the names of the published values.

A name is `<study>/<quantity>`. The quantity is a column of one neuron (`L0.12/excess_corr`), with `/rank` or
`/rank_from_below` its place among all neurons; or one of the quantities below; or a scalar of the study's
`summary.json`.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from un_lightning.errors import UserError
from un_lightning.results.results import read_summary, table_path
from un_lightning.studies.replication.curves import entropy_curve


NEURON = re.compile(r"L(\d+)\.(\d+)/([^/]+)(?:/(rank|rank_from_below))?")
BINNED = ("mean", "var", "skew", "kurt", "sparsity")
"""Columns of activations that the paper computes from bins, as `<name>_paper` does where it exists."""
CURVE = re.compile(r"L(\d+)\.(\d+)/(scale|entropy|loss|reciprocal_rank)(/change)?")


class Ours:
    """Finished runs of one family."""

    def __init__(self, runs: Mapping[str, Path], model: str) -> None:
        """Remember where the runs lie.

        Args:
            runs: Run folder of each study.
            model: The member that the studies are about.
        """
        self.runs = dict(runs)
        self.model = model
        self._tables: dict[tuple[str, str], pd.DataFrame] = {}
        self._summaries: dict[str, dict[str, Any]] = {}

    def value(self, name: str) -> Any:
        """Our value of a quantity, as plain numbers or lists; None where it does not exist."""
        study, _, quantity = name.partition("/")
        if study not in self.runs:
            return None
        if study == "entropy" and (match := CURVE.fullmatch(quantity)):
            return entropy_curve(
                self.table(study, "curves"), self.table(study, "untouched"), int(match[1]), int(match[2]),
                match[3], change=match[4] is not None,
            )  # fmt: skip
        if match := NEURON.fullmatch(quantity):
            return self._of_neuron(study, int(match[1]), int(match[2]), match[3], match[4])
        for pattern, compute in QUANTITIES.items():
            if match := re.fullmatch(pattern, name):
                return _plain(compute(self, *match.groups()))
        return _plain(self.summary(study).get(quantity))

    def summary(self, study: str) -> dict[str, Any]:
        """The scalars of a study."""
        if study not in self._summaries:
            self._summaries[study] = read_summary(self.runs[study])
        return self._summaries[study]

    def table(self, study: str, name: str) -> pd.DataFrame:
        """A table of a study: rows of the model, where the table tells models apart.

        Raises:
            UserError: The run has no such table.
        """
        key = study, name
        if key not in self._tables:
            path = table_path(self.runs[study], name)
            if not path.is_file():
                raise UserError(f"{self.runs[study]} has no table {name}")
            table = pd.read_parquet(path)
            self._tables[key] = table[table["model"] == self.model] if "model" in table else table
        return self._tables[key]

    @cached_property
    def neurons(self) -> pd.DataFrame:
        """The neuron table, with the paper's binned statistics where they were asked for."""
        table = self.table("neuron_table", "neurons").copy()
        for name in BINNED:
            if f"{name}_paper" in table:
                table[name] = table[f"{name}_paper"]
        return table

    @property
    def universal(self) -> pd.DataFrame:
        """Universal neurons of the neuron table."""
        return self.neurons[self.neurons["universal"]]

    @property
    def layers(self) -> int:
        """Layers of the model."""
        return int(self.neurons["layer"].max()) + 1

    def _of_neuron(self, study: str, layer: int, neuron: int, column: str, rank: str | None) -> Any:
        table = self.neurons if study == "neuron_table" else self.table(study, "neurons")
        row = table[(table["layer"] == layer) & (table["neuron"] == neuron)]
        if row.empty or column not in row:
            return None
        value = row[column].iloc[0]
        if rank is None:
            return _plain(value)
        beyond = table[column] > value if rank == "rank" else table[column] < value
        return 1 + int(beyond.sum())


def _share(column: str, above: int | float) -> Callable[[Ours], float]:
    return lambda ours: float((ours.universal[column] > above).mean())


def _mean(ours: Ours, group: str, column: str) -> float | None:
    table = ours.neurons[ours.neurons["universal"] == (group == "universal")]
    return float(table[column].mean()) if column in table else None


def _range(ours: Ours, group: str) -> float:
    table = ours.neurons if group == "all" else ours.universal
    return float((table["max_corr"] - table["min_corr"]).mean())


def _writes_to_few(ours: Ours, group: str) -> int:
    few = ours.universal[ours.universal["vocab_kurt"] > 10]
    kept = {"all": few["vocab_skew"].notna(), "prediction": few["vocab_skew"] > 0}
    return int(kept.get(group, few["vocab_skew"] < 0).sum())


def _layer_match(ours: Ours) -> list[list[float]] | None:
    """Percent of a layer's neurons whose best partners lie in each layer."""
    part = ours.summary("neuron_table").get("parts/correlation")
    if part is None or not table_path(Path(part), "layer_match").is_file():
        return None
    table = pd.read_parquet(table_path(Path(part), "layer_match"))
    own = table[table["model"] == ours.model].sort_values(["layer", "match_layer"])
    return (100 * own["fraction"].to_numpy().reshape(own["layer"].nunique(), -1)).tolist()


def _percentile(ours: Ours, column: str) -> float | None:
    effects = ours.table("properties", "effects")
    row = effects[effects["column"] == column]
    return None if row.empty else float(row["median_percentile"].iloc[0])


def _alphabet(ours: Ours) -> int:
    """Letters that are the best label of a neuron of the alphabet."""
    table = ours.table("families", "neurons")
    return int(table.loc[table["family"] == "alphabet", "label"].nunique())


def _unexplained(ours: Ours) -> int | None:
    table = ours.table("families", "neurons")
    if "universal" not in table:
        return None
    universal = table["universal"].fillna(value=False).astype(bool)
    return int((universal & (table["family"] == "unexplained")).sum())


def _by_layer(ours: Ours) -> list[float]:
    """Neurons above the kurtosis of 10 in each layer, mean over the members that were read."""
    table = pd.read_parquet(table_path(ours.runs["prediction"], "neurons"))
    few = table[table["vocab_kurt"] > 10]
    return (np.bincount(few["layer"], minlength=ours.layers) / table["model"].nunique()).tolist()


def _trend(ours: Ours, column: str, level: str) -> list[float]:
    """A percentile over the neurons of each layer, mean over the members that were read."""
    table = pd.read_parquet(table_path(ours.runs["prediction"], "layers"))
    return table.groupby("layer")[f"{column}_p{level}"].mean().tolist()


def _score(ours: Ours, end: str) -> float:
    """The extreme score of any neuron and head, scaled by the root of d_head alone as in the paper."""
    heads = ours.table("attention", "heads")
    return float(getattr(heads[f"score_{end}"] / heads["score_scale"], end)())


def _few(ours: Ours) -> int:
    return int((ours.table("prediction", "neurons")["vocab_kurt"] > 10).sum())


QUANTITIES: dict[str, Callable[..., Any]] = {
    "neuron_table/universal/by_layer": lambda ours: np.bincount(
        ours.universal["layer"], minlength=ours.layers
    ).tolist(),
    "neuron_table/universal/strict": lambda ours: int(
        (ours.neurons["min_corr"] - ours.neurons["max_baseline"] > 0.5).sum()
    ),
    r"neuron_table/excess/above_(0\.\d)": lambda ours, limit: int(
        (ours.neurons["excess_corr"] > float(limit)).sum()
    ),
    "neuron_table/excess/max": lambda ours: float(ours.neurons["excess_corr"].max()),
    "neuron_table/range/(all|universal)": _range,
    "neuron_table/(universal|rest)/mean/([a-z_]+)": _mean,
    "neuron_table/universal/share/skew_above_0": _share("skew", 0),
    "neuron_table/universal/share/kurt_above_3": _share("kurt", 3),
    "neuron_table/universal/share/bias_below_0": lambda ours: float(
        (ours.universal["input_bias"] < 0).mean()
    ),
    "neuron_table/universal/sparse": lambda ours: int((ours.universal["sparsity"] < 0.02).sum()),
    "neuron_table/universal/kurt_below_2": lambda ours: int((ours.universal["kurt"] < 2).sum()),
    "neuron_table/universal/vocab_kurt_above_10/(all|prediction|suppression)": _writes_to_few,
    "neuron_table/layer_match": _layer_match,
    "properties/percentile/([a-z_]+)": _percentile,
    "families/alphabet": _alphabet,
    "families/universal/unexplained": _unexplained,
    "prediction/kurt_above_10": lambda ours: int(
        (ours.table("prediction", "neurons")["vocab_kurt"] > 10).sum()
    ),
    "prediction/kurt_above_10/by_layer": _by_layer,
    r"prediction/(vocab_kurt|vocab_skew)/p(\d+)": _trend,
    "attention/score/(min|max)": _score,
}
"""How a quantity is computed, by a pattern of its name; groups of the pattern are arguments."""


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
