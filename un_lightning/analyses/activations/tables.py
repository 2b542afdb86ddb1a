"""Tables of the activations analysis (columns: docs/activations.md)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy import ndarray
from torch import Tensor

from un_lightning.analyses.activations.statistics import ActivationStatistics
from un_lightning.analyses.selection import Selection
from un_lightning.analyses.token_text import token_texts
from un_lightning.config import ActivationsConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.stats.eta_squared import eta_squared, firing_information
from un_lightning.stats.moments import UnitShape
from un_lightning.stats.published_bins import published_moments


def neuron_table(
    config: ActivationsConfig,
    selection: Selection,
    sums: ActivationStatistics,
    known: Mapping[str, Tensor],
) -> pd.DataFrame:
    """One row a neuron."""
    pre = sums.moments.shape(known["pre_mean"])
    post = sums.post_moments.shape(known["post_mean"])
    positions = sums.positions
    table = _units(selection) | {"valid": _numpy(pre.valid)} | _shape_columns(pre)
    table["min"] = _numpy(sums.histogram.tensors["min"].amin(0))
    table["max"] = _numpy(sums.histogram.tensors["max"].amax(0))
    table |= _quantiles(config, sums, None)
    counts = sums.histogram.counts()
    table["outside"] = _numpy((counts[:, 0] + counts[:, -1]) / counts.sum(1))
    table["bin_width"] = _numpy(sums.histogram.bin_width)
    table |= {"post_mean": _numpy(post.mean), "post_var": _numpy(post.var)}
    for name, column, shape in (("pre", "eta2_position", pre), ("post", "eta2_position_post", post)):
        eta2 = eta_squared(positions.means(name), positions.count, shape.mean, shape.var)
        table[column] = _numpy(eta2)
    table["position_std"] = _numpy(_spread(positions.means("pre"), positions.count))
    fired = positions.means("fired").masked_fill(pre.mean.isnan(), torch.nan)
    table["position_mi"] = _numpy(firing_information(fired, positions.count))
    if sums.tokens is not None:
        table["eta2_token"] = _numpy(sums.tokens.tensors["eta2"])
    if sums.published is not None:
        published = published_moments(sums.published.counts())
        table |= {f"{name}_paper": _numpy(values) for name, values in published.items()}
    frame = pd.DataFrame(table)
    broken = frame["mean"].isna()
    keep = ["model", "layer", "neuron", "valid", "bin_width"]
    frame.loc[broken, frame.columns.difference(keep)] = np.nan
    return frame


def subset_table(
    config: ActivationsConfig,
    selection: Selection,
    sums: ActivationStatistics,
    known: Mapping[str, Tensor],
    subsets: list[str],
) -> pd.DataFrame:
    """One row a subset and neuron; subsets without counted tokens have none."""
    parts = []
    for group, subset in enumerate(subsets):
        shape = sums.moments.shape(known["pre_mean"], group)
        if not bool(shape.tokens.any()):
            continue
        columns = _units(selection) | {"subset": subset, "count": _numpy(shape.tokens)}
        parts.append(pd.DataFrame(columns | _shape_columns(shape) | _quantiles(config, sums, group)))
    return pd.concat(parts, ignore_index=True)


def token_table(
    selection: Selection,
    sums: ActivationStatistics,
    known: Mapping[str, Tensor],
    data: TokenBlocks,
) -> pd.DataFrame:
    """The tokens at which each neuron is largest, by mean (`by` is `mean`) and by maximum."""
    assert sums.tokens is not None
    ids, counts = _numpy(known["tokens"]), _numpy(sums.tokens.tensors["count"])
    parts = []
    for own in selection.columns.values():
        for by in ("mean", "max"):
            tops = sums.tokens.of(by, own)
            rows = _numpy(tops.row)
            rank, unit = np.nonzero(rows >= 0)
            row = rows[rank, unit]
            parts.append(
                pd.DataFrame(
                    {
                        "model": selection.model,
                        "layer": selection.layer[own][unit],
                        "neuron": selection.neuron[own][unit],
                        "by": by,
                        "rank": rank + 1,
                        "token_id": ids[row],
                        "count": counts[row],
                        "mean": _numpy(tops.mean)[rank, unit],
                        "max": _numpy(tops.max)[rank, unit],
                    }
                )
            )
    table = pd.concat(parts, ignore_index=True).sort_values(
        ["layer", "neuron", "by", "rank"], ignore_index=True
    )
    table.insert(6, "token", token_texts(data.tokenizer, np.asarray(table["token_id"])))
    return table


def position_table(
    config: ActivationsConfig, neurons: pd.DataFrame, sums: ActivationStatistics
) -> pd.DataFrame:
    """Mean pre-activation and firing rate by position, NaN where no token counts, of the most positional.

    `sd` is the standard deviation of the tokens of one position, pooled over the positions.
    """
    order = neurons["eta2_position"].sort_values(ascending=False, kind="stable").dropna()
    chosen = order.index.to_numpy()[: config.profiles]
    table = neurons.loc[chosen, ["model", "layer", "neuron", "eta2_position"]].reset_index(drop=True)
    within = neurons.loc[chosen, "var"] * (1 - neurons.loc[chosen, "eta2_position"])
    table["sd"] = np.sqrt(within.clip(lower=0)).to_numpy()
    columns = chosen.tolist()
    for column, name in (("mean", "pre"), ("sparsity", "fired")):
        means = sums.positions.means(name)[:, columns]
        table[column] = list(_numpy(means.T).astype(np.float32))
    return table


def histogram_table(selection: Selection, sums: ActivationStatistics) -> pd.DataFrame:
    """Each neuron's histogram of pre-activations: range, and counts from below it to above it."""
    table = pd.DataFrame(_units(selection))
    table["low"], table["high"] = _numpy(sums.histogram.low), _numpy(sums.histogram.high)
    table["counts"] = list(_numpy(sums.histogram.counts()))
    return table


def _units(selection: Selection) -> dict[str, ndarray]:
    model = np.full(selection.count, selection.model, dtype=object)
    return {"model": model, "layer": selection.layer, "neuron": selection.neuron}


def _shape_columns(shape: UnitShape) -> dict[str, ndarray]:
    names = {"mean": "mean", "var": "var", "skew": "skew", "kurt": "kurt", "frequency": "sparsity"}
    return {column: _numpy(getattr(shape, name)) for name, column in names.items()}


def _quantiles(
    config: ActivationsConfig, sums: ActivationStatistics, group: int | None
) -> dict[str, ndarray]:
    values = _numpy(sums.histogram.quantiles(config.quantiles, group))
    return {f"q{level:g}": row for level, row in zip(config.quantiles, values, strict=True)}


def _spread(means: Tensor, counts: Tensor) -> Tensor:
    """Population standard deviation over positions of the mean, each position counting once."""
    return means[counts > 0].std(0, correction=0)


def _numpy(values: Tensor) -> ndarray:
    return values.cpu().numpy()
