"""What universal neurons look like: the comparison with the rest, in every column (paper section 4.2)."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from un_lightning.analyses.properties.claims import claim_line, claim_table
from un_lightning.analyses.properties.tables import effect_table, layer_table, relation_table
from un_lightning.config import PropertiesConfig
from un_lightning.figures import properties as figures
from un_lightning.figures.relations import cos_against_frequency, redundancy
from un_lightning.results.neuron_tables import comparable_columns, read_tables, with_groups
from un_lightning.results.results import Results
from un_lightning.stats.percentiles import layer_percentiles


class PropertiesReport:
    """Effect sizes, layer by layer and overall, of neuron tables."""

    def __init__(self, config: PropertiesConfig, seed: int) -> None:
        """Read the tables.

        Raises:
            UserError: A table is missing, or lacks what makes a neuron universal.
        """
        self.config = config
        self.seed = seed
        self.tables = {
            model: with_groups(table, config.threshold) for model, table in read_tables(config.tables).items()
        }
        self.columns = {
            model: comparable_columns(table, config.columns) for model, table in self.tables.items()
        }

    def __call__(self) -> Results:
        """Compare."""
        config = self.config
        effects = effect_table(self.tables, self.columns, config.permutations, self.seed)
        claims = claim_table(effects, config.alpha)
        relations = relation_table(self.tables)
        results = Results(
            tables={
                "effects": effects,
                "by_layer": layer_table(self.tables, self.columns),
                "claims": claims,
                "relations": relations,
            }
        )
        self._draw(results)
        self._summarise(results, claims, effects, relations)
        return results

    def _draw(self, results: Results) -> None:
        both = {m: t for m, t in self.tables.items() if {0, 1} <= {*t["group"]}}
        shown = {m: t for m, t in both.items() if {*figures.PERCENTILES} & {*t}}
        if shown:
            ranks = {model: universal_percentiles(table) for model, table in shown.items()}
            results.figures["percentiles"] = figures.percentiles(ranks)
        for model, table in self.tables.items():
            if {*figures.BY_LAYER} & {*table}:
                name = "by_layer" if len(self.tables) == 1 else f"by_layer_{model.replace('/', '_')}"
                results.figures[name] = figures.properties_by_layer(table, model)
        frequent = _having(self.tables, ("sparsity", "in_out_sim"))
        if frequent:
            results.figures["cos_against_frequency"] = cos_against_frequency(frequent)
        redundant = _having(both, ("in_in_max", "out_out_max"))
        if redundant:
            results.figures["redundancy"] = redundancy(redundant)

    def _summarise(
        self, results: Results, claims: pd.DataFrame, effects: pd.DataFrame, relations: pd.DataFrame
    ) -> None:
        several = len(self.tables) > 1
        suffix = lambda model: f"/{model}" if several else ""
        for model, table in self.tables.items():
            group = table["group"].to_numpy()
            counts = {name: int((group == label).sum()) for name, label in (("universal", 1), ("rest", 0))}
            results.scalars |= {f"{name}/count{suffix(model)}": count for name, count in counts.items()}
            results.scalars[f"neurons/invalid{suffix(model)}"] = int((group < 0).sum())
            results.headline.append(
                (f"{model}: universal neurons (excess > {self.config.threshold:g})",
                 f"{counts['universal']:,} against {counts['rest']:,} others")
            )  # fmt: skip
            own = claims[claims["model"] == model]
            if all(counts.values()):  # the published tables hold universal neurons only
                results.headline.append((f"{model}: near-copies", _copies(table, effects, model)))
                results.headline += [claim_line(row, self.config.permutations) for _, row in own.iterrows()]
            results.scalars[f"claims/holding{suffix(model)}"] = int((own["verdict"] == "holds").sum())
        for _, row in effects.iterrows():
            results.scalars[f"auc/{row['column']}{suffix(row['model'])}"] = float(row["auc"])
        for _, row in relations[relations["group"] == "all"].iterrows():
            results.scalars[f"pearson/{row['x']}/{row['y']}{suffix(row['model'])}"] = float(row["pearson"])
        results.scalars |= {"threshold": self.config.threshold, "models": list(self.tables)}


def universal_percentiles(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Percentiles of the universal neurons in their layers, for the columns of Figure 3 that there are."""
    grouped = table[table["group"] >= 0]
    layer, universal = grouped["layer"].to_numpy(), grouped["group"].to_numpy() == 1
    return {
        name: layer_percentiles(grouped[name].to_numpy(dtype=np.float64), layer)[universal]
        for name in figures.PERCENTILES
        if name in grouped
    }


def _copies(table: pd.DataFrame, effects: pd.DataFrame, model: str) -> str:
    """What the tests took for independent."""
    if "cluster" not in table:
        return "not known (no column cluster): the tests take every neuron for independent"
    most: dict[Any, Any] = effects[effects["model"] == model].nlargest(1, "n_clusters").iloc[0].to_dict()
    universal, every = int(most["universal_clusters"]), int(most["n_clusters"])
    return f"counted once in the tests: {universal:,} universal against {every - universal:,} others"


def _having(tables: dict[str, pd.DataFrame], columns: Iterable[str]) -> dict[str, pd.DataFrame]:
    return {m: t for m, t in tables.items() if all(c in t and t[c].notna().any() for c in columns)}
