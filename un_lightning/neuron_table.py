"""The neuron table: several analyses of the same models and text, and one table of what they found."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from un_lightning import record, runs
from un_lightning.analyses.neuron_tables import KEYS, read_table
from un_lightning.config import Config
from un_lightning.config.neuron_table import PARTS
from un_lightning.errors import UserError
from un_lightning.results import Results, read_summary
from un_lightning.reuse import finished_run
from un_lightning.terminal import say
from un_lightning.tracking import is_global_zero


PUBLISHED = (
    "layer", "neuron", "max_corr", "mean_corr", "min_corr", "max_baseline", "min_baseline", "mean_baseline",
    "w_in_norm", "input_bias", "w_out_norm", "in_out_sim", "l2_penalty", "mean", "var", "skew", "kurt",
    "vocab_mean", "vocab_var", "vocab_skew", "vocab_kurt", "sparsity", "excess_corr",
)  # fmt: skip
"""Columns of the paper's published tables, in their order."""

RunPass = Callable[[Config, dict[str, Any]], None]
"""Carries out one analysis of models, as `launch.run_pass` does."""


def run_neuron_table(config: Config, plain: dict[str, Any], run_pass: RunPass) -> None:
    """Run the parts that no finished run answers, then join their tables.

    Every part is a run of its own, with its own folder and record, under the name `<name>-<part>`. One that
    was interrupted goes on with `resume=auto`.

    Args:
        config: The checked config.
        plain: The same as plain values.
        run_pass: Carries out one part.

    Raises:
        UserError: As `run_pass` does, or `resume` names a folder.
    """
    if config.resume not in ("never", "auto"):
        raise UserError("a neuron table goes on part by part: use resume=auto, not the folder of a run")
    parts: dict[str, Path] = {}
    for part in PARTS:
        own, own_plain, near = part_config(config, plain, part)
        found = finished_part(config, own_plain, near)
        if is_global_zero():
            say(f"{part}: " + (f"taken from {found}" if found else "to be run"))
        if found is None:
            run_pass(own, own_plain)
            found = finished_run(config.root, own_plain, *near)
        if found is not None:  # None on ranks that keep no folder of their own
            parts[part] = found
    table = dataclasses.replace(config, resume="never")  # joining takes no time, so nothing is left of it
    with record.begin(table, plain, job_type=config.analysis.kind) as current:
        if current.folder is None:
            return
        if len(parts) < len(PARTS):
            raise UserError("a part has no results: its models or texts changed while it ran; run again")
        results = neuron_table_results(parts)
        current.conclude(results, int(read_summary(parts["correlation"])["tokens"]))


def part_config(
    config: Config, plain: dict[str, Any], part: str
) -> tuple[Config, dict[str, Any], tuple[Path, ...]]:
    """The config of one part, the same as plain values, and where else than below the root it may lie.

    Args:
        config: A config whose analysis has the part's settings in a field of its name.
        plain: The same as plain values.
        part: The part.
    """
    changes: dict[str, Any] = {"name": f"{config.name}-{part}"}
    near: tuple[Path, ...] = ()
    if config.run_dir is not None:
        near = (Path(config.run_dir) / part,)
        changes["run_dir"] = str(near[0])
    own = dataclasses.replace(config, **changes, analysis=getattr(config.analysis, part))
    return own, {**plain, **changes, "analysis": plain["analysis"][part]}, near


def neuron_table_results(parts: Mapping[str, Path]) -> Results:
    """Join the tables of finished runs.

    Args:
        parts: Run folder of each part.

    Raises:
        UserError: A table is missing, or they share no neuron.
    """
    table = join_tables({part: read_table(str(folder)) for part, folder in parts.items()})
    models = [str(model) for model in table["model"].unique()]
    universal = int(table["universal"].sum())
    results = Results(tables={"neurons": table})
    results.scalars = {
        "analysis": "neuron_table",
        "neurons/count": len(table),
        "neurons/invalid": int((~table["valid"]).sum()),
        "neurons/columns": len(table.columns),
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


def finished_part(config: Config, plain: dict[str, Any], near: tuple[Path, ...]) -> Path | None:
    """A finished run of a part, if there is one and it may be taken."""
    if not config.analysis.reuse:
        return next((folder for folder in near if runs.is_finished(folder)), None)
    return finished_run(config.root, plain, *near)
