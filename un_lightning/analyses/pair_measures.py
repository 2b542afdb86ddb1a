"""The chosen measures of one pair of models, from the side of each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from un_lightning.config import CorrelationConfig, MeasureName
from un_lightning.stats.measures.cka import linear_cka
from un_lightning.stats.measures.cosine import largest_cosine
from un_lightning.stats.measures.jaccard import largest_jaccard
from un_lightning.stats.measures.linreg import explained_by_all, explained_by_layers
from un_lightning.stats.measures.matching import Matching, match_units
from un_lightning.stats.measures.mutual import mutual
from un_lightning.stats.pair_sums import PairSums
from un_lightning.stats.row_summary import RowSummary


class Measured(NamedTuple):
    """What the measures say about one model's units and layers against another model."""

    units: dict[str, Shaped[np.ndarray, " units"]]
    """Columns with one value a unit; NaN for invalid units."""
    layers: dict[str, Float[np.ndarray, "layers other_layers"]]
    """Columns with one value a pair of layers."""
    scalars: dict[str, float]
    """In area/name form."""


Sides = tuple[Measured, Measured]
Nearest = tuple[Int[Tensor, "left k"], Int[Tensor, "right k"]]


def measure_pair(
    pair: PairSums, summaries: tuple[RowSummary, RowSummary], config: CorrelationConfig
) -> Sides:
    """Compute every measure that the config names.

    Args:
        pair: Sums of the pair.
        summaries: Rows of correlations from either side, for the nearest units.
        config: Measures and their settings.

    Returns:
        The row model against the column model, and the reverse.
    """
    sides = Measured({}, {}, {}), Measured({}, {}, {})
    forward, backward = (
        summary.best_index.masked_fill(~model.moments.valid[:, None], -1)
        for summary, model in zip(summaries, (pair.left, pair.right), strict=True)
    )
    for name in config.measures:
        for side, found in zip(sides, _MEASURED[name](pair, (forward, backward), config), strict=True):
            side.units.update(found.units)
            side.layers.update(found.layers)
            side.scalars.update(found.scalars)
    return sides


def _cosine(pair: PairSums, _: Nearest, __: CorrelationConfig) -> Sides:
    return _both(pair, lambda side: Measured({"cosine_max": _numpy(largest_cosine(side))}, {}, {}))


def _jaccard(pair: PairSums, _: Nearest, __: CorrelationConfig) -> Sides:
    return _both(pair, lambda side: Measured({"jaccard_max": _numpy(largest_jaccard(side))}, {}, {}))


def _cka(pair: PairSums, _: Nearest, __: CorrelationConfig) -> Sides:
    cka = _numpy(linear_cka(pair))
    return Measured({}, {"cka": cka}, {}), Measured({}, {"cka": cka.T}, {})


def _linreg(pair: PairSums, _: Nearest, config: CorrelationConfig) -> Sides:
    def one(side: PairSums) -> Measured:
        fit = explained_by_layers(side, config.ridge)
        r2, layer = fit.best()
        units = {"linreg_r2": _numpy(r2), "linreg_layer": _numpy(layer)}
        means = torch.stack([fit.r2[units].nanmean(0) for units in side.left.layers])
        predictors = [int(side.right.moments.valid[units].sum()) for units in side.right.layers]
        scalars = {"linreg/ridge": fit.ridge, "linreg/null": float(np.mean(predictors)) / side.tokens}
        if config.full_gram:
            everything = explained_by_all(side, config.ridge)
            units["linreg_all_r2"] = _numpy(everything.r2[:, 0])
            scalars["linreg/ridge"] = max(fit.ridge, everything.ridge)
            scalars["linreg/null_all"] = float(np.sum(predictors)) / side.tokens
        return Measured(units, {"linreg": _numpy(means)}, scalars)

    return _both(pair, one)


def _mutual(_: PairSums, nearest: Nearest, __: CorrelationConfig) -> Sides:
    def one(forward: Tensor, backward: Tensor) -> Measured:
        best = mutual(forward[:, :1], backward[:, :1])
        units = {"mutual": best, "mutual_top_k": mutual(forward, backward)}
        return Measured({name: found.cpu().numpy() for name, found in units.items()}, {}, {})

    return one(*nearest), one(*nearest[::-1])


def _matching(pair: PairSums, _: Nearest, config: CorrelationConfig) -> Sides:
    def one(side: PairSums, matching: Matching) -> Measured:
        valid = side.left.moments.valid
        rows = torch.stack([valid[units].sum() for units in side.left.layers]).double()[:, None].cpu()
        columns = [side.right.moments.valid[units].sum() for units in side.right.layers]
        matches = torch.minimum(rows, torch.stack(columns).double()[None, :].cpu())
        units = {"match": _numpy(matching.partner), "matched_corr": _numpy(matching.corr)}
        layers = {
            "matching": _numpy(matching.matched / matches),
            "matching_gap": _numpy((matching.largest - matching.matched) / rows),
        }
        paired = torch.cat([valid[side.left.layers[i]] for i in (matching.layer >= 0).nonzero().flatten()])
        return Measured(units, layers, {"matching/gap": matching.gap() / max(int(paired.sum()), 1)})

    matching = match_units(pair, config.matching_size)
    back = matching.swapped(pair.product.shape[1])
    return one(pair, matching), one(pair.swapped, back)


_MEASURED: dict[MeasureName, Callable[[PairSums, Nearest, CorrelationConfig], Sides]] = {
    MeasureName.cosine: _cosine,
    MeasureName.jaccard: _jaccard,
    MeasureName.cka: _cka,
    MeasureName.linreg: _linreg,
    MeasureName.mutual: _mutual,
    MeasureName.matching: _matching,
}


def _both(pair: PairSums, one: Callable[[PairSums], Measured]) -> Sides:
    return one(pair), one(pair.swapped)


def _numpy(values: Tensor) -> Shaped[np.ndarray, "..."]:
    return values.cpu().numpy()
