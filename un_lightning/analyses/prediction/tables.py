"""Tables of the prediction analysis (names: docs/prediction.md)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy import ndarray

from un_lightning.analyses.prediction.classes import INVALID, NAMED, class_names, classify, shares
from un_lightning.analyses.prediction.weights import SETS
from un_lightning.config import PredictionConfig
from un_lightning.labels import TokenLabels
from un_lightning.models.units import Units
from un_lightning.stats.label_contrast import LabelContrast
from un_lightning.stats.next_token import NextTokenContrast
from un_lightning.stats.vocabulary_moments import MOMENTS


PERCENTILES = (5, 10, 50, 90, 95)
"""Those of the published trends (Fig. 6)."""
PREFIX = {"cosine": "vocab", "logit": "logit"}
"""Begin of a column's name: moments of cosines have the published names."""

Found = Mapping[str, ndarray]
"""What was read off the weights, as arrays."""


class Named(NamedTuple):
    """Neurons of one model, by what tables call them."""

    units: Units
    codes: Int64[ndarray, " neurons"]

    def keys(self, flat: Int64[ndarray, " some"]) -> dict[str, ndarray]:
        """The columns that tables of neurons begin with."""
        layer, neuron = self.units.locate(flat)
        model = np.full(len(flat), self.units.model)
        return {"model": model, "layer": layer, "neuron": neuron, "class": class_names(self.codes[flat])}


def neuron_table(config: PredictionConfig, units: Mapping[str, Units], found: Found) -> pd.DataFrame:
    """One row a neuron of every model that was read: its class, and moments over the vocabulary."""
    parts = []
    for name, own in units.items():
        codes = classify(config, found[f"{name}.cosine"])
        columns = Named(own, codes).keys(np.arange(own.count))
        for kind, prefix in PREFIX.items():
            for suffix in ("", "_weighted"):
                values = found[f"{name}.{kind}{suffix}"]
                columns |= {f"{prefix}_{moment}{suffix}": values[:, i] for i, moment in enumerate(MOMENTS)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def layer_table(neurons: pd.DataFrame) -> pd.DataFrame:
    """One row a layer of every model: neurons of each class, and percentiles of kurtosis and skew."""
    rows = []
    for (model, layer), own in neurons.groupby(["model", "layer"], sort=False):
        valid = own[own["class"] != INVALID]
        row = {"model": model, "layer": layer, "neurons": len(own), INVALID: len(own) - len(valid)}
        row |= {name: int((own["class"] == name).sum()) for name in NAMED}
        for column in ("vocab_kurt", "vocab_skew", "vocab_var"):
            values = valid[column].to_numpy()
            levels = np.percentile(values, PERCENTILES) if len(values) else [np.nan] * len(PERCENTILES)
            row |= {f"{column}_p{level}": value for level, value in zip(PERCENTILES, levels, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def explanation_table(named: Named, found: Found, labels: TokenLabels) -> pd.DataFrame:
    """The labels that explain each classed neuron best, by variance reduction."""
    row, rank = np.nonzero(found["label"] >= 0)
    label = found["label"][row, rank]
    columns = named.keys(found["classed"][row]) | {
        "rank": rank + 1,
        "label": np.array(labels.names, dtype=object)[label],
        "kind": np.array(labels.kinds, dtype=object)[label],
        "tokens": found["label_count"][row, rank],
    }
    measures = found["measures"][row, rank]
    columns |= {name: measures[:, i] for i, name in enumerate(LabelContrast._fields)}
    return pd.DataFrame(columns)


def token_table(named: Named, found: Found, texts: Mapping[int, str]) -> pd.DataFrame:
    """Tokens that each classed neuron raises most (rank 1, 2, …) and lowers most (-1, -2, …)."""
    parts = []
    for sign, side in ((1, "highest"), (-1, "lowest")):
        ids = found[side]
        row, rank = np.indices(ids.shape).reshape(2, -1)
        columns = named.keys(found["classed"][row]) | {"rank": sign * (rank + 1), "token": ids[row, rank]}
        columns["text"] = np.array([texts.get(int(token), "") for token in columns["token"]], dtype=object)
        parts.append(pd.DataFrame(columns | {"cosine": found[f"{side}_cosine"][row, rank]}))
    return pd.concat(parts, ignore_index=True)


def next_token_table(
    named: Named, found: Found, labels: TokenLabels, contrast: NextTokenContrast
) -> pd.DataFrame:
    """Followed neurons' activations by whether the next token is one that they are about."""
    owner, kind = found["owner"], found["set"]
    flat = found["followed"][owner]
    best = dict(zip(found["classed"].tolist(), found["label"][:, 0].tolist(), strict=True))
    columns = named.keys(flat) | {
        "set": np.array(SETS, dtype=object)[kind],
        "label": np.array(
            [labels.names[best[i]] if SETS[k] == "label" else "" for i, k in zip(flat, kind, strict=True)],
            dtype=object,
        ),
        "set_size": found["sets"].sum(0),
    }
    return pd.DataFrame(columns | {name: value.cpu().numpy() for name, value in contrast._asdict().items()})


def null_shares(config: PredictionConfig, found: Found) -> dict[str, float]:
    """Share of random directions in each class."""
    return dict(shares(classify(config, found["null.cosine"])))
