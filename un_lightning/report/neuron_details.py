"""What a neuron's own page shows, layer by layer, beside the columns of the table."""

from typing import Any

import numpy as np
import pandas as pd

from un_lightning.report.compact import ByNeuron, by_neuron, short
from un_lightning.report.neuron_examples import examples
from un_lightning.report.neuron_sources import Sources


Details = dict[int, dict[str, Any]]
"""What is known of each neuron of a layer, by section."""

SHOWN = {"matches": (-1, 5), "neighbours": (1, 5), "tokens": (1, 12)}
"""Smallest and largest rank that a section shows."""
LABELS = 8
"""Labels of a neuron, those that explain most."""
BARS = 80
"""Bars of a histogram; the runs count more bins than a page has room for."""
POINTS = 400
"""Tokens that a scatter of an attention head shows."""

_TABLES = {
    "matches": ("correlation", "matches", ["other", "rank", "match_layer", "match_neuron", "corr"]),
    "tokens": ("activations", "tokens", ["by", "rank", "token", "count", "mean", "max"]),
    "cosines": ("weights", "tokens", ["kind", "rank", "text", "cosine"]),
    "neighbours": ("weights", "neighbours", ["kind", "rank", "match_layer", "match_neuron", "cosine"]),
    "labels": (
        "families",
        "best_labels",
        ["kind", "label", "family", "corr", "vr", "vr_low", "vr_high", "auroc", "f1", "q"],
    ),
    "predicted": ("prediction", "tokens", ["rank", "text", "cosine"]),
    "explanations": (
        "prediction",
        "explanations",
        ["label", "kind", "tokens", "mean_difference", "welch_t", "variance_reduction"],
    ),
    "next_token": (
        "prediction",
        "next_token",
        ["set", "label", "inside", "mean_inside", "mean_outside", "difference", "low", "high", "auroc"],
    ),
    "curves": ("entropy", "curves", ["metric", "value", "change", "change_low", "change_high"]),
    "heads": (
        "attention",
        "pairs",
        [
            "head_layer", "head", "score_shifted", "mean_bos_change", "bos_attention",
            "pearson_activation_bos_change",
        ],
    ),
}  # fmt: skip
"""Sections that are rows of a table: analysis, table, columns."""
EFFECTS = (
    "total_effect", "direct_effect", "norm_mediated", "loss_change", "entropy_change",
    "reciprocal_rank_change", "top_changed", "kl", "frequency_mediated",
)  # fmt: skip
"""Effects of setting a neuron to zero, each with a standard error."""


def layer_details(sources: Sources, model: str, layer: int, texts: dict[int, str]) -> Details:
    """Everything that the runs say about the neurons of a layer.

    Args:
        sources: The runs.
        model: The model.
        layer: Its layer.
        texts: Texts of tokens by id; contexts with other tokens are shown as plain text.
    """
    found: Details = {}

    def take(section: str, rows: ByNeuron | dict[int, Any]) -> None:
        for neuron, value in rows.items():
            found.setdefault(neuron, {})[section] = value

    for section, (analysis, table, names) in _TABLES.items():
        rows = sources.rows(analysis, table, model, layer)
        if len(rows):
            take(section, by_neuron(_chosen(section, rows), names))
    take("histogram", _histograms(sources.rows("activations", "histograms", model, layer), ["counts"]))
    take("labelled", _histograms(sources.rows("families", "histograms", model, layer), ["having", "lacking"]))
    take("positions", _positions(sources, model, layer))
    take("effects", _effects(sources.rows("entropy", "effects", model, layer)))
    take("points", _points(sources.rows("attention", "tokens", model, layer)))
    take("sets", _sets(sources, model, layer))
    for section, rows in examples(sources, model, layer, texts).items():
        take(section, rows)
    return found


def _chosen(section: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that a section has room for, in the order in which it shows them."""
    if section in SHOWN:
        low, high = SHOWN[section]
        return rows[rows["rank"].between(low, high)]
    if section == "labels":
        rows = rows.sort_values("vr", ascending=False, kind="stable")
        return rows.groupby("neuron", sort=False).head(LABELS)
    return rows.sort_values(["metric", "value"], kind="stable") if section == "curves" else rows


def _histograms(table: pd.DataFrame, names: list[str]) -> dict[int, Any]:
    """Range of the bins in use, and counts of at most `BARS` bars each; tokens below and above the range."""
    found = {}
    for row in table.to_dict("records"):
        counts = np.stack([np.asarray(row[name], dtype=np.int64) for name in names])
        inner = counts[:, 1:-1]
        used = np.flatnonzero(inner.any(0))
        if len(used) == 0:
            continue
        width = (row["high"] - row["low"]) / inner.shape[1]
        first, last = int(used[0]), int(used[-1]) + 1
        step = -(-(last - first) // BARS)
        bars = -(-(last - first) // step)
        padded = np.zeros((len(names), bars * step), dtype=np.int64)
        padded[:, : last - first] = inner[:, first:last]
        low, high = row["low"] + first * width, row["low"] + (first + bars * step) * width
        found[int(row["neuron"])] = {
            "range": short(np.array([low, high])),
            "counts": padded.reshape(len(names), bars, step).sum(2).tolist(),
            "outside": counts[:, [0, -1]].tolist(),
            "label": row.get("label"),
        }
    return found


def _positions(sources: Sources, model: str, layer: int) -> dict[int, Any]:
    """Mean pre-activation at each position of the block."""
    for analysis in ("activations", "families"):
        table = sources.rows(analysis, "positions", model, layer)
        if len(table):
            pairs = zip(table["neuron"].tolist(), table["mean"], strict=True)
            return {neuron: short(np.asarray(mean), 3) for neuron, mean in pairs}
    return {}


def _effects(table: pd.DataFrame) -> dict[int, Any]:
    names = [name for name in EFFECTS if name in table]
    found = {}
    for row in table.to_dict("records"):
        pairs = [short(np.array([row[name], row[f"{name}_stderr"]])) for name in names]
        found[int(row["neuron"])] = [[name, *pair] for name, pair in zip(names, pairs, strict=True)]
    return found


def _points(table: pd.DataFrame) -> dict[int, Any]:
    """Evenly spaced tokens of each head: activation, and change of attention to BOS."""
    if table.empty:
        return {}
    parts = [
        part.iloc[:: -(-len(part) // POINTS)]
        for _, part in table.groupby(["neuron", "head_layer", "head"], sort=False)
    ]
    return by_neuron(pd.concat(parts), ["head_layer", "head", "activation", "bos_change"])


def _sets(sources: Sources, model: str, layer: int) -> dict[int, Any]:
    """Sets of neurons that an ablation removed together, and what that did more than removing random ones."""
    table = sources.rows("ablation", "sets", model, layer)
    if table.empty:
        return {}
    own = table[table["draw"] == 0] if "draw" in table else table
    keep = ["set", "neurons", "metric", "change", "random", "difference", "difference_low", "difference_high"]
    contrasts = sources.rows("ablation", "contrasts", model)
    if contrasts.empty:
        return {}
    return by_neuron(own[["neuron", "set"]].merge(contrasts[keep], on="set"), keep)
