"""Columns, tables and scalars of the measures besides the correlation (docs/measures.md)."""

import numpy as np
import pandas as pd

from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import PairFindings
from un_lightning.analyses.correlation.pair_measures import Measured, cka_sides, mutual_sides
from un_lightning.config import CorrelationConfig, MeasureName
from un_lightning.config.correlation import packaged_measures
from un_lightning.results.results import Results
from un_lightning.stats.measures.cka import cka_of, norms
from un_lightning.stats.pair_sums import ModelSums


MEANS = ("cosine_max", "jaccard_max", "linreg_r2", "linreg_all_r2", "matched_corr")
"""Columns whose mean over the other models stands in the neuron table."""
COUNTS = ("mutual", "mutual_top_k")
"""Columns that count there for how many other models they are true."""
EXPLAINED = 0.5
"""R² above which a unit's activations are mostly contained in a layer of the other model."""


class FamilyMeasures:
    """The measures of every pair, as they come in."""

    def __init__(self, config: CorrelationConfig) -> None:
        self.config = config
        self.measured: dict[tuple[str, str], Measured] = {}

    def add(
        self, pair: tuple[str, str], findings: PairFindings, sums: tuple[ModelSums, ModelSums], count: int
    ) -> None:
        """Measure a pair.

        Args:
            pair: Names of the row and the column model.
            findings: What was kept of their products.
            sums: What each model contributes.
            count: Counted tokens.
        """
        left, right = pair
        sides = findings.measured()
        more = []
        if MeasureName.mutual in self.config.measures:
            nearest = [
                side.best_index.masked_fill(~model.moments.valid[:, None], -1)
                for side, model in zip(findings.sides, sums, strict=True)
            ]
            more.append(mutual_sides(*nearest))
        if MeasureName.cka in self.config.measures:
            within = [norms(model, count) for model in sums]
            more.append(cka_sides(cka_of(findings.cross_norms, *within)))
        for both in more:
            for side, found in zip(sides, both, strict=True):
                side.update(found)
        self.measured[left, right], self.measured[right, left] = sides

    def join(self, table: pd.DataFrame, member: MemberSums) -> pd.DataFrame:
        """Add columns over all other models to one model's rows of the neuron table."""
        found = list(self._of(member.units.model).values())
        columns = {}
        shown = (*MEANS, *COUNTS, *packaged_measures())
        for name in (name for name in shown if found and name in found[0].units):
            values = pd.DataFrame(np.stack([one.units[name] for one in found], axis=1), index=table.index)
            columns[name] = values.sum(axis=1) if name in COUNTS else values.mean(axis=1)
        return table.assign(**columns)

    def finish(self, results: Results, members: dict[str, MemberSums], reference: str) -> None:
        """Add the tables `measures` and `layer_similarity`, and scalars about the reference.

        Args:
            results: With the neuron table.
            members: Units of each model.
            reference: The model that scalars are about.
        """
        if not self.measured:
            return
        units = [self._unit_rows(members, mine, other) for mine, other in self.measured]
        layers = [self._layer_rows(mine, other) for mine, other in self.measured]
        if any(one.units for one in self.measured.values()):
            results.tables["measures"] = pd.concat(units, ignore_index=True)
        if any(one.layers for one in self.measured.values()):
            results.tables["layer_similarity"] = pd.concat(layers, ignore_index=True)
        own = results.tables["neurons"].query("model == @reference and valid")
        results.scalars |= _unit_scalars(own, len(self._of(reference)))
        results.scalars |= _pair_scalars(list(self._of(reference).values()))

    def _of(self, model: str) -> dict[str, Measured]:
        return {other: found for (mine, other), found in self.measured.items() if mine == model}

    def _unit_rows(self, members: dict[str, MemberSums], mine: str, other: str) -> pd.DataFrame:
        """One row a unit; a layer or unit of the other model that does not exist is missing."""
        units = members[mine].units
        layer, neuron = units.locate(np.arange(units.count))
        columns = {"model": mine, "layer": layer, "neuron": neuron, "other": other}
        for name, values in self.measured[mine, other].units.items():
            if name == "match":
                missing = values < 0
                places = members[other].units.locate(values.clip(min=0))
                for key, place in zip(("matched_layer", "matched_neuron"), places, strict=True):
                    columns[key] = pd.Series(place, dtype="Int64").mask(missing)
            elif name == "linreg_layer":
                columns[name] = pd.Series(values).astype("Int64")
            else:
                columns[name] = values
        return pd.DataFrame(columns)

    def _layer_rows(self, mine: str, other: str) -> pd.DataFrame:
        found = self.measured[mine, other].layers
        if not found:
            return pd.DataFrame()
        layer, match_layer = np.indices(next(iter(found.values())).shape)
        columns = {"model": mine, "other": other, "layer": layer.ravel(), "match_layer": match_layer.ravel()}
        return pd.DataFrame(columns | {name: values.ravel() for name, values in found.items()})


def _unit_scalars(own: pd.DataFrame, others: int) -> dict[str, float]:
    """Scalars over the valid units of the reference."""
    scalars = {
        name: float(own[column].mean())
        for name, column in (
            ("cosine/mean", "cosine_max"),
            ("jaccard/mean", "jaccard_max"),
            ("linreg/mean_r2", "linreg_r2"),
            ("linreg/mean_all_r2", "linreg_all_r2"),
            ("matching/mean_corr", "matched_corr"),
        )
        if column in own
    }
    if "linreg_r2" in own:
        subspace = (own["linreg_r2"] > EXPLAINED) & ~own["universal"]
        scalars["linreg/subspace_percent"] = float(100 * subspace.mean())
    if "mutual" in own:
        scalars["mutual/percent"] = float(100 * own["mutual"].mean() / others)
        scalars["mutual/percent_top_k"] = float(100 * own["mutual_top_k"].mean() / others)
        scalars["mutual/percent_all"] = float(100 * (own["mutual"] == others).mean())
    return scalars


def _pair_scalars(found: list[Measured]) -> dict[str, float]:
    """Scalars that are means over the other models."""
    scalars = {
        name: float(np.mean([one.scalars[name] for one in found])) for name in sorted(found[0].scalars)
    }
    if "cka" in found[0].layers:
        tables = [pd.DataFrame(one.layers["cka"]) for one in found]
        square = [cka.to_numpy() for cka in tables if cka.shape[0] == cka.shape[1]]
        scalars["cka/mean_diagonal"] = _mean([value for cka in square for value in cka.diagonal()])
        scalars["cka/mean_best"] = _mean([value for cka in tables for value in cka.max(axis=1)])
    return scalars


def _mean(values: list[float]) -> float:
    """Mean of those that exist."""
    existing = [value for value in values if not np.isnan(value)]
    return float(np.mean(existing)) if existing else float("nan")
