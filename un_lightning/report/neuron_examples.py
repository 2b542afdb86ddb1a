"""Activating examples as a page shows them: token by token, with the activation of each."""

from typing import Any

import numpy as np
import pandas as pd

from un_lightning.report.compact import short
from un_lightning.report.neuron_sources import Sources


STEPS = 1000
"""Activations that shade a text are whole numbers: so many are the largest of the text."""


def token_texts(sources: Sources) -> dict[int, str]:
    """Texts of tokens by id, as far as the runs' tables have them."""
    texts: dict[int, str] = {}
    for table, name in (("tokens", "token"), ("texts", "text")):
        for path in sources.files(table):
            if {"token_id", name} <= {*_columns(path)}:
                rows = pd.read_parquet(path, columns=["token_id", name]).drop_duplicates()
                texts |= dict(zip(rows["token_id"].tolist(), rows[name].tolist(), strict=True))
    return texts


def examples(sources: Sources, model: str, layer: int, texts: dict[int, str]) -> dict[str, dict[int, Any]]:
    """Largest activations (`top`) and a sample across the range (`sample`) of each neuron of a layer.

    Families list the largest activations of some neurons, too: they stand in where nothing else does.

    Returns:
        By section and neuron, a list of examples: `v` the activation, `at` the place of its token, `ids` of
        all tokens or, where their texts are not known, `parts` (before, the token, behind), `values` of all
        tokens in units of `unit`, `q` the quantile, and `where` (subset, document, position in it).
    """
    table = sources.rows("activations", "examples", model, layer)
    if table.empty:
        table = sources.rows("families", "examples", model, layer)
    if table.empty:
        return {}
    if "kind" not in table:
        table = table.assign(kind="top", quantile=np.nan)
    found: dict[str, dict[int, Any]] = {"top": {}, "sample": {}}
    for row in table.sort_values(["neuron", "rank"], kind="stable").to_dict("records"):
        own = {str(name): value for name, value in row.items()}
        found[own["kind"]].setdefault(int(own["neuron"]), []).append(_example(own, texts))
    return found


def _example(row: dict[str, Any], texts: dict[int, str]) -> dict[str, Any]:
    value, quantile = short(np.array([row["value"], row["quantile"]]))
    where = [row["subset"], int(row["document"]), int(row["document_position"])]
    example: dict[str, Any] = {"v": value, "q": quantile, "where": where}
    ids = row["context"].tolist()
    if not all(token in texts for token in ids):
        head, mark, tail = str(row["text"]).partition(f"⟦{row['token']}⟧")
        return example | {"parts": [head, row["token"] if mark else "", tail]}
    example |= {"ids": ids, "at": int(row["at"])}
    values = row.get("values")
    if isinstance(values, np.ndarray) and len(values) == len(ids):
        unit = max(float(np.abs(values).max()), 1e-30) / STEPS
        example |= {"unit": short(np.array([unit]))[0], "values": np.rint(values / unit).astype(int).tolist()}
    return example


def _columns(path: Any) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_schema(path).names
