"""Tables of the analysis of weights: neurons, and what each is near to (names: docs/weights.md)."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from un_lightning.analyses.weights.rows import HEAD_KINDS, MOMENTS, NEURON_KINDS, NORMS, VOCABULARY_KINDS
from un_lightning.models.units import Units
from un_lightning.models.weights import ModelWeights


Found = Mapping[str, np.ndarray]
"""Tensors of `LayerRows.compute`, all layers together, as arrays of one row a neuron."""

PUBLISHED_KIND = "u_out"
"""The published `vocab_*` columns are moments of cos(W_U, w_out)."""


def neuron_table(units: Units, found: Found) -> pd.DataFrame:
    """One row a neuron: norms, the published moments over the vocabulary, nearest and farthest neurons.

    `in_in_max`, `in_in_min`, `in_in_abs_max` and `in_in_range` are extremes over all other neurons of the
    model, and so for the other three kinds.
    """
    columns: dict[str, np.ndarray] = dict(zip(NORMS, found["norms"].T, strict=True))
    for suffix, moments in (("", "moments"), ("_weighted", "weighted")):
        values = found.get(f"{PUBLISHED_KIND}.{moments}")
        if values is not None:
            columns |= {f"vocab_{name}{suffix}": values[:, i] for i, name in enumerate(MOMENTS)}
    for kind in NEURON_KINDS:
        if f"{kind}.best" in found:
            largest, smallest = found[f"{kind}.best"][:, 0], found[f"{kind}.worst"][:, 0]
            some = np.isfinite(largest)  # a model of one neuron has no other
            columns[f"{kind}_max"] = np.where(some, largest, np.nan)
            columns[f"{kind}_min"] = np.where(some, smallest, np.nan)
            columns[f"{kind}_abs_max"] = np.where(some, np.maximum(largest, -smallest), np.nan)
            columns[f"{kind}_range"] = np.where(some, largest - smallest, np.nan)
    return pd.DataFrame(_keys(units) | columns)


def composition_table(units: Units, found: Found, kinds: Iterable[str]) -> pd.DataFrame:
    """Moments and histogram of each neuron's cosines with all tokens, or all other neurons."""
    parts = []
    for kind in kinds:
        if f"{kind}.moments" not in found:
            continue
        columns = {name: found[f"{kind}.moments"][:, i] for i, name in enumerate(MOMENTS)}
        if f"{kind}.weighted" in found:
            columns |= {f"{name}_weighted": found[f"{kind}.weighted"][:, i] for i, name in enumerate(MOMENTS)}
        part = pd.DataFrame(_keys(units) | {"kind": kind} | columns)
        part["histogram"] = list(found[f"{kind}.histogram"])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def token_table(units: Units, found: Found, texts: Mapping[int, str]) -> pd.DataFrame:
    """The k nearest tokens of each neuron (ranks 1, 2, …) and the k farthest (-1, -2, …).

    Args:
        units: The neurons.
        found: What was computed of them.
        texts: Text of each token; those without stay empty.
    """
    table = _extremes(units, found, VOCABULARY_KINDS).rename(columns={"index": "token"})
    table.insert(6, "text", [texts.get(token, "") for token in table["token"]])
    return table


def neighbour_table(units: Units, found: Found) -> pd.DataFrame:
    """The k nearest other neurons of each neuron (ranks 1, 2, …) and the k farthest (-1, -2, …)."""
    table = _extremes(units, found, NEURON_KINDS)
    layer, neuron = units.locate(table.pop("index").to_numpy())
    table.insert(5, "match_layer", layer)
    table.insert(6, "match_neuron", neuron)
    return table


def head_table(units: Units, found: Found, weights: ModelWeights) -> pd.DataFrame:
    """Composition of every neuron with every head, NaN where the one cannot reach the other.

    A neuron writes to heads of later layers (`q_comp`, `k_comp`, `v_comp`) and reads from heads of its own
    and of earlier layers (`o_comp`), of earlier ones only where attention and MLP run in parallel.
    """
    counts = [len(layer.W_Q) for layer in weights.layers]
    head_layer = np.repeat(np.arange(len(counts)), counts)
    head = np.concatenate([np.arange(count) for count in counts])
    keys = {name: np.repeat(values, len(head)) for name, values in _keys(units).items()}
    table = pd.DataFrame(keys | {"head_layer": np.tile(head_layer, units.count)})
    table["head"] = np.tile(head, units.count)
    after = (table["head_layer"] > table["layer"]).to_numpy()
    before = (table["head_layer"] < table["layer"]).to_numpy() if weights.parallel else ~after
    for index, kind in enumerate(HEAD_KINDS):
        reachable = before if kind == "o_comp" else after
        table[kind] = np.where(reachable, found["heads"][:, index].reshape(-1), np.nan)
    return table


def _keys(units: Units) -> dict[str, np.ndarray]:
    layer, neuron = units.locate(np.arange(units.count))
    return {"model": np.full(units.count, units.model), "layer": layer, "neuron": neuron}


def _extremes(units: Units, found: Found, kinds: Iterable[str]) -> pd.DataFrame:
    parts = []
    keys = _keys(units)
    for kind in kinds:
        for sign, side in ((1, "best"), (-1, "worst")):
            if f"{kind}.{side}" not in found:
                continue
            index = found[f"{kind}.{side}_index"]
            there: Bool[ndarray, "neurons k"] = index >= 0
            row, rank = np.nonzero(there)
            own = {name: values[row] for name, values in keys.items()}
            own |= {"kind": np.full(len(row), kind), "rank": sign * (rank + 1)}
            parts.append(
                pd.DataFrame(own | {"index": index[there], "cosine": found[f"{kind}.{side}"][there]})
            )
    return pd.concat(parts, ignore_index=True)
