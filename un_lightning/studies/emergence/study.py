"""One correlation run a checkpoint, and what becomes of the universal neurons between them."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd

from un_lightning.config import Config, ModelsConfig
from un_lightning.errors import UserError
from un_lightning.figures.emergence import emergence
from un_lightning.results.neuron_tables import read_table
from un_lightning.results.results import Results, read_summary
from un_lightning.studies.emergence.tables import checkpoint_table, layer_table, neuron_history, training_step
from un_lightning.studies.study import Part, RunPass, carry_out, make_part, refuse_folder, together


PLACE = re.compile(r"\{checkpoint(?::0?(\d{1,2}))?\}")
"""Where a path or a revision has its checkpoint, perhaps with a number of digits."""


def run_emergence(config: Config, plain: dict[str, Any], run: RunPass) -> None:
    """Correlate the members at every checkpoint that no finished run answers, and join what was found.

    Args:
        config: The checked config.
        plain: The same as plain values.
        run: Carries out one correlation analysis, as `launch.run` does.

    Raises:
        UserError: As `run` does; or `resume` names a folder, or no member has a place for its checkpoint.
    """
    refuse_folder(config)
    if config.models is None:
        raise UserError("no models were chosen: add models=<family>")
    folders: dict[str, Path] = {}
    for checkpoint in map(str, config.analysis.checkpoints):
        part = checkpoint_config(config, plain, checkpoint)
        folders[checkpoint] = carry_out(config, part, f"checkpoint {checkpoint}", run)
    with together(config, plain) as current:
        if current.folder is not None:
            results = emergence_results(config, folders)
            tokens = sum(int(read_summary(folder)["tokens"]) for folder in folders.values())
            current.conclude(results, tokens)


def checkpoint_config(config: Config, plain: dict[str, Any], checkpoint: str) -> Part:
    """The run of one checkpoint.

    Args:
        config: The config of the study.
        plain: The same as plain values.
        checkpoint: What `{checkpoint}` stands for.

    Raises:
        UserError: No member has a place for a checkpoint.
    """
    models = models_at(config.models, checkpoint)
    members = [
        {**own, "path": member.path, "revision": member.revision}
        for own, member in zip(plain["models"]["members"], models.members, strict=True)
    ]
    changes = {"models": models, "analysis": config.analysis.correlation}
    plain_changes = {
        "models": {**plain["models"], "members": members},
        "analysis": plain["analysis"]["correlation"],
    }
    return make_part(config, plain, checkpoint, changes, plain_changes)


def models_at(models: ModelsConfig, checkpoint: str) -> ModelsConfig:
    """The family at one checkpoint.

    Raises:
        UserError: No member has a place for a checkpoint in its path or revision.
    """
    members = [
        dataclasses.replace(
            member, path=_filled(member.path, checkpoint), revision=_filled(member.revision, checkpoint)
        )
        for member in models.members
    ]
    if members == models.members:
        raise UserError(
            "no member changes with the checkpoint: write {checkpoint} into the path or the revision of "
            "models.members, such as revision: step{checkpoint}"
        )
    return dataclasses.replace(models, members=members)


def _filled(text: str | None, checkpoint: str) -> str | None:
    return text and PLACE.sub(lambda place: checkpoint.zfill(int(place[1] or 0)), text)


def emergence_results(config: Config, folders: dict[str, Path]) -> Results:
    """Tables, figure and scalars of all checkpoints.

    Args:
        config: The config of the study.
        folders: Finished correlation run of each checkpoint, in the order of training.
    """
    parts = []
    for index, (checkpoint, folder) in enumerate(folders.items()):
        own = read_table(str(folder))[["model", "layer", "neuron", "valid", "excess_corr", "universal"]]
        parts.append(own.assign(index=index, checkpoint=checkpoint, step=training_step(checkpoint, index)))
    everything = pd.concat(parts, ignore_index=True)
    checkpoints, layers = checkpoint_table(everything), layer_table(everything)
    reference = config.models.reference
    shown = checkpoints[checkpoints["model"] == reference]
    results = Results(
        tables={
            "checkpoints": checkpoints,
            "layers": layers,
            "neurons": neuron_history(everything),
            "excess": everything.drop(columns="index"),
        },
        figures={"emergence": emergence(shown, layers[layers["model"] == reference])},
    )
    last = shown.iloc[-1]
    results.scalars = {
        "analysis": "emergence",
        "family": config.models.family,
        "model": reference,
        "checkpoints": [*folders],
        "universal/first_percent": float(shown["percent"].iloc[0]),
        "universal/last_percent": float(last["percent"]),
        "universal/ever_percent": float(100 * last["ever"] / last["neurons"]),
        "persistence/mean": float(shown["persistence"].mean()),
        "threshold": config.analysis.correlation.threshold,
        **{f"universal/percent/{row.checkpoint}": float(row.percent) for row in shown.itertuples()},
        **{f"runs/{checkpoint}": str(folder) for checkpoint, folder in folders.items()},
    }
    results.headline = [
        (
            f"Checkpoint {row.checkpoint} of '{reference}': universal, of these universal at the next",
            f"{row.universal:,} ({row.percent:.2f} %), "
            + ("–" if row.persistence != row.persistence else f"{100 * row.persistence:.0f} %"),
        )
        for row in shown.itertuples()
    ]
    return results
