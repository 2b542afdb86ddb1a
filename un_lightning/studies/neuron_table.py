"""The neuron table: several analyses of the same models and text, and one table of what they found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from un_lightning.config import Config
from un_lightning.config.neuron_table import PARTS
from un_lightning.errors import UserError
from un_lightning.results.neuron_tables import KEYS, read_table
from un_lightning.results.results import Results, read_summary, table_path
from un_lightning.stats.near_copies import near_copies
from un_lightning.studies.study import Part, RunPass, carry_out, make_part, refuse_folder, together


PUBLISHED = (
    "layer", "neuron", "max_corr", "mean_corr", "min_corr", "max_baseline", "min_baseline", "mean_baseline",
    "w_in_norm", "input_bias", "w_out_norm", "in_out_sim", "l2_penalty", "mean", "var", "skew", "kurt",
    "vocab_mean", "vocab_var", "vocab_skew", "vocab_kurt", "sparsity", "excess_corr",
)  # fmt: skip
"""Columns of the paper's published tables, in their order."""


def run_neuron_table(config: Config, plain: dict[str, Any], run_pass: RunPass) -> None:
    """Run the parts that no finished run answers, then join their tables.

    Args:
        config: The checked config.
        plain: The same as plain values.
        run_pass: Carries out one part.

    Raises:
        UserError: As `run_pass` does, or `resume` names a folder.
    """
    refuse_folder(config)
    parts: dict[str, Path] = {}
    for name in PARTS:
        parts[name] = carry_out(config, part_config(config, plain, name), name, run_pass)
    with together(config, plain) as current:
        if current.folder is not None:
            results = neuron_table_results(parts)
            current.conclude(results, int(read_summary(parts["correlation"])["tokens"]))


def part_config(config: Config, plain: dict[str, Any], name: str) -> Part:
    """One part.

    Args:
        config: A config whose analysis has the part's settings in a field of its name.
        plain: The same as plain values.
        name: The part.
    """
    changes = {"analysis": getattr(config.analysis, name)}
    return make_part(config, plain, name, changes, {"analysis": plain["analysis"][name]})


def neuron_table_results(parts: Mapping[str, Path]) -> Results:
    """Join the tables of finished runs.

    Args:
        parts: Run folder of each part.

    Raises:
        UserError: A table is missing, or they share no neuron.
    """
    table = join_tables({part: read_table(str(folder)) for part, folder in parts.items()})
    table["cluster"] = _clusters(table, parts)
    models = [str(model) for model in table["model"].unique()]
    universal = int(table["universal"].sum())
    results = Results(tables={"neurons": table})
    results.scalars = {
        "analysis": "neuron_table",
        "neurons/count": len(table),
        "neurons/invalid": int((~table["valid"]).sum()),
        "neurons/columns": len(table.columns),
        "neurons/clusters": len(table[["model", "cluster"]].drop_duplicates()),
        "universal/count": universal,
        "universal/percent": 100 * universal / len(table),
        "models": models,
        "tokens": read_summary(parts["correlation"])["tokens"],
        **{f"parts/{part}": str(folder) for part, folder in parts.items()},
    }
    results.headline = [
        (f"Neurons of {', '.join(models)}", f"{len(table):,}"),
        ("Universal among them", f"{universal:,} ({results.scalars['universal/percent']:.2f} %)"),
        ("Columns", f"{len(table.columns)}: tables/neurons.parquet"),
    ]
    return results


def _clusters(table: pd.DataFrame, parts: Mapping[str, Path]) -> pd.Series:
    """Near-copies have the same number, that of the first of them among the neurons of its model."""
    paths = [table_path(parts["weights"], "neighbours"), table_path(parts["correlation"], "matches")]
    neighbours, matches = (pd.read_parquet(p) if p.is_file() else pd.DataFrame() for p in paths)
    clusters = pd.Series(0, index=table.index)
    for model, own in table.groupby("model"):
        of = lambda rows, name=model: rows[rows["model"] == name] if len(rows) else rows
        clusters[own.index] = near_copies(own, of(neighbours), of(matches))
    return clusters


def join_tables(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join neuron tables on model, layer and neuron: the neurons that all of them have.

    A neuron is valid where every table says so. Published columns come first, in the published order.

    Raises:
        UserError: The tables share no neuron, or a column other than `valid`.
    """
    joined: pd.DataFrame | None = None
    for part, table in tables.items():
        if joined is None:
            joined = table
            continue
        twice = [str(name) for name in table if name in joined and name not in (*KEYS, "valid")]
        if twice:
            raise UserError(f"the table of {part} has columns that another has, too: {', '.join(twice)}")
        joined = joined.merge(table, on=KEYS, validate="one_to_one", suffixes=("", "_new"))
        if "valid_new" in joined:
            joined["valid"] &= joined.pop("valid_new")
    assert joined is not None
    if joined.empty:
        raise UserError(f"the tables of {', '.join(tables)} have no neuron in common")
    first = ["model", *(name for name in PUBLISHED if name in joined)]
    return joined[[*first, *(name for name in joined if name not in first)]]
