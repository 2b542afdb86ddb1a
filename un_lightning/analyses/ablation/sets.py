"""Sets of neurons to ablate, and random sets that match them layer by layer."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from un_lightning.analyses.selection import select
from un_lightning.config import AblationConfig
from un_lightning.errors import UserError
from un_lightning.models.units import Units
from un_lightning.results.neuron_tables import read_tables, with_groups


_MOST_FAMILIES = 50
"""A column with more values is no column of families."""


class NeuronSet(NamedTuple):
    """One set, or a random one that matches it."""

    name: str
    draw: int
    """0 for the set itself, then 1, 2, … for random ones."""
    flat: Int[ndarray, " neurons"]
    """Flat indices, ascending."""


def named_sets(
    config: AblationConfig, units: Units
) -> tuple[dict[str, Int[ndarray, " neurons"]], Int[ndarray, " pool"]]:
    """Every set that a config names, and the neurons from which random sets are drawn.

    Args:
        config: The config.
        units: All neurons of the model.

    Returns:
        Flat indices by name, and those of the neurons that are not universal, where a table says which are,
        and of all others.

    Raises:
        UserError: A set names a neuron that the model does not have, or the table lacks what sets need.
    """
    sets: dict[str, np.ndarray] = {}
    pool = np.arange(units.count)
    if config.tables is not None:
        table = _own_table(config.tables, units)
        flat = _flat(units, table)
        if config.families is not None:
            sets |= _families(config.families, table, flat)
        if config.families is None or "excess_corr" in table:
            own, universal = _universal(config, units, table, flat)
            sets["universal"] = own
            pool = np.setdiff1d(pool, universal)
    named = {"neurons": config.neurons} if config.neurons is not None else {}
    for name, members in (config.sets | named).items():
        found = select(units, neurons=members)
        sets[name] = np.array(units.offsets)[found.layer] + found.neuron
    return sets, pool


def with_random_sets(
    sets: Mapping[str, Int[ndarray, " neurons"]],
    pool: Int[ndarray, " pool"],
    units: Units,
    draws: int,
    seed: int,
) -> list[NeuronSet]:
    """Every set, followed by random sets with as many neurons of each layer.

    Args:
        sets: Flat indices by name.
        pool: Neurons from which random sets are drawn, without those of the set in question.
        units: All neurons of the model.
        draws: Random sets for each set.
        seed: Seed of the draws.

    Raises:
        UserError: A layer has too few other neurons.
    """
    found = []
    generator = np.random.default_rng(seed)
    for name, flat in sets.items():
        found.append(NeuronSet(name, 0, flat))
        layers, counts = np.unique(units.locate(flat)[0], return_counts=True)
        for draw in range(1, draws + 1):
            parts = []
            for layer, count in zip(layers, counts, strict=True):
                own = units.layer_slices()[layer]
                others = np.setdiff1d(pool[(pool >= own.start) & (pool < own.stop)], flat)
                if len(others) < count:
                    raise UserError(
                        f"the set '{name}' has {count} neurons of layer {layer} of '{units.model}', and "
                        f"there are only {len(others)} others to draw random ones from: take a smaller set "
                        "(analysis.top, a higher analysis.threshold), or set analysis.draws=0"
                    )
                parts.append(generator.choice(others, count, replace=False))
            found.append(NeuronSet(name, draw, np.sort(np.concatenate(parts))))
    return found


def pack_sets(sets: list[NeuronSet]) -> dict[str, Tensor]:
    """Sets as tensors, as they go to other ranks and into saved states."""
    names = json.dumps([(one.name, one.draw, len(one.flat)) for one in sets])
    return {
        "names": torch.tensor(list(names.encode()), dtype=torch.uint8),
        "flat": torch.from_numpy(np.concatenate([one.flat for one in sets])),
    }


def unpack_sets(known: Mapping[str, Tensor]) -> list[NeuronSet]:
    """The sets that `pack_sets` packed."""
    names = json.loads(bytes(known["names"].cpu().tolist()).decode())
    flat = np.split(known["flat"].cpu().numpy(), np.cumsum([count for _, _, count in names])[:-1])
    return [NeuronSet(name, draw, own) for (name, draw, _), own in zip(names, flat, strict=True)]


def _universal(
    config: AblationConfig, units: Units, table: pd.DataFrame, flat: Int[ndarray, " rows"]
) -> tuple[Int[ndarray, " top"], Int[ndarray, " universal"]]:
    """The most universal neurons, and all universal ones."""
    grouped = with_groups(table, config.threshold)
    excess = grouped["excess_corr"].to_numpy(dtype=np.float64)
    universal = np.flatnonzero(grouped["group"] == 1)
    if len(universal) == 0:
        raise UserError(
            f"no neuron of '{units.model}' has an excess correlation above {config.threshold:g} in "
            f"{config.tables}: set analysis.threshold lower"
        )
    first = universal[np.argsort(-excess[universal], kind="stable")][: config.top]
    return np.sort(flat[first]), flat[universal]


def _own_table(path: str, units: Units) -> pd.DataFrame:
    tables = read_tables(path)
    if units.model in tables:
        return tables[units.model]
    if len(tables) == 1 and "model" not in next(iter(tables.values())):
        return next(iter(tables.values()))
    raise UserError(
        f"{path} has no neurons of '{units.model}', but of {', '.join(tables)}: set analysis.model to one of "
        "them, or analysis.tables to a table of this model"
    )


def _flat(units: Units, table: pd.DataFrame) -> Int[ndarray, " rows"]:
    layer, neuron = table["layer"].to_numpy(), table["neuron"].to_numpy()
    widths = np.array(units.widths)
    inside = (layer >= 0) & (layer < len(widths)) & (neuron >= 0)
    inside &= neuron < widths[np.clip(layer, 0, len(widths) - 1)]
    if not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        raise UserError(
            f"analysis.tables has neuron L{layer[row]}.{neuron[row]}, which '{units.model}' does not have: "
            "it is the table of another model"
        )
    return np.array(units.offsets)[layer] + neuron


def _families(column: str, table: pd.DataFrame, flat: Int[ndarray, " rows"]) -> dict[str, ndarray]:
    if column not in table:
        raise UserError(
            f"analysis.families is '{column}', but the table has {', '.join(map(str, table.columns))}"
        )
    labels = table[column].dropna()
    labels = labels[labels.astype(str) != ""]
    values = sorted(labels.unique(), key=str)
    if not 0 < len(values) <= _MOST_FAMILIES:
        raise UserError(
            f"column '{column}' of the table has {len(values)} values, but a column of families has 1 to "
            f"{_MOST_FAMILIES}"
        )
    return {f"{column}={value}": np.sort(flat[labels.index[labels == value]]) for value in values}
