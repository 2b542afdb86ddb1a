"""Tables of the comparison of universal neurons with the rest (method D; names: docs/properties.md)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from un_lightning.stats.layer_contrast import LayerContrast
from un_lightning.stats.near_copies import representatives
from un_lightning.stats.percentiles import layer_members, layer_percentiles


REDUNDANCY = tuple(
    f"{side}_{what}" for side in ("out_out", "in_in") for what in ("max", "min", "abs_max", "range")
)
"""Cosines with other neurons, which the paper relates to the excess."""


def effect_table(
    tables: Mapping[str, pd.DataFrame], columns: Mapping[str, list[str]], permutations: int, seed: int
) -> pd.DataFrame:
    """Effect size and p-value of every column of every model.

    Args:
        tables: Neuron tables with `layer`, `group` and, where near-copies are known, `cluster`, by model.
        columns: Columns to compare, by model.
        permutations: Relabellings of each test.
        seed: Seed of the relabellings, and of the choice of representatives.

    Returns:
        One row a model and column. Effect sizes are of all `n` neurons. The tests are of `n_clusters`
        representatives, one of each cluster of near-copies, whose AUC is `auc_clusters`; `q_auc` and
        `q_ks` are p-values adjusted for all rows by Benjamini and Hochberg.
    """
    rows = []
    for model, table in tables.items():
        grouped = table[table["group"] >= 0]
        universal = grouped["group"].to_numpy() == 1
        layer = grouped["layer"].to_numpy()
        known = "cluster" in grouped
        cluster = grouped["cluster"].to_numpy() if known else np.arange(len(grouped))
        once = representatives(cluster, universal, seed)
        # Every neuron describes, and the representatives test.
        contrast = LayerContrast(universal, layer, 0, seed)
        tested = LayerContrast(universal[once], layer[once], permutations, seed)
        for column in columns[model]:
            values = grouped[column].to_numpy(dtype=np.float64)
            found = contrast.of(values)
            test = tested.of(values[once])
            percentile = layer_percentiles(values, contrast.layer)[universal]
            row = {
                "model": model,
                "column": column,
                "universal": found.chosen,
                "rest": found.rest,
                "auc": found.auc,
                "cliffs_delta": found.cliffs_delta,
                "ks": found.ks,
                "n": found.chosen + found.rest,
                "n_clusters": test.chosen + test.rest,
                "universal_clusters": test.chosen,
                "auc_clusters": test.auc,
                "p_auc": test.p_auc,
                "p_ks": test.p_ks,
                "median_percentile": _median(percentile) if found.rest else np.nan,
            }
            for name, part in (("universal", values[universal]), ("rest", values[~universal])):
                row |= {f"{name}_mean": _mean(part), f"{name}_median": _median(part)}
            rows.append(row)
    effects = pd.DataFrame(rows)
    for name in ("auc", "ks"):
        effects.insert([*effects].index(f"p_{name}") + 1, f"q_{name}", _adjusted(effects[f"p_{name}"]))
    return effects


def layer_table(tables: Mapping[str, pd.DataFrame], columns: Mapping[str, list[str]]) -> pd.DataFrame:
    """Count, mean and median of both groups, layer by layer."""
    rows = []
    for model, table in tables.items():
        group = table["group"].to_numpy()
        for members in layer_members(table["layer"].to_numpy()):
            part, label = table.iloc[members], group[members]
            for column in columns[model]:
                values = part[column].to_numpy(dtype=np.float64)
                row = {"model": model, "layer": int(part["layer"].iloc[0]), "column": column}
                for name, chosen in (("universal", label == 1), ("rest", label == 0)):
                    here = values[chosen]
                    row[f"{name}_count"] = int(np.isfinite(here).sum())
                    row |= {f"{name}_mean": _mean(here), f"{name}_median": _median(here)}
                rows.append(row)
    return pd.DataFrame(rows)


def relation_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Pearson correlations that the paper reports: cosine with frequency, redundancy with excess.

    `group` is `all` neurons or the `universal` ones alone.
    """
    pairs = [("sparsity", "in_out_sim"), *(("excess_corr", column) for column in REDUNDANCY)]
    rows = []
    for model, table in tables.items():
        for x, y in pairs:
            if x not in table or y not in table:
                continue
            for group, part in (("all", table), ("universal", table[table["group"] == 1])):
                values = part[[x, y]].to_numpy(dtype=np.float64)
                values = values[np.isfinite(values).all(1)]
                varied = len(values) > 2 and bool((values.std(0) > 0).all())
                r = float(np.corrcoef(values.T)[0, 1]) if varied else np.nan
                rows.append(
                    {"model": model, "x": x, "y": y, "group": group, "pearson": r, "neurons": len(values)}
                )
    return pd.DataFrame(rows, columns=["model", "x", "y", "group", "pearson", "neurons"])


def _adjusted(p: pd.Series) -> np.ndarray:
    """Benjamini-Hochberg over the p-values that there are."""
    values = p.to_numpy(dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    present = np.isfinite(values)
    if present.any():
        adjusted[present] = false_discovery_control(values[present], method="bh")
    return adjusted


def _mean(values: np.ndarray) -> float:
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else float("nan")


def _median(values: np.ndarray) -> float:
    present = values[np.isfinite(values)]
    return float(np.median(present)) if len(present) else float("nan")
