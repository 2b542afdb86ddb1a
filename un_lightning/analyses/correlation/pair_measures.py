"""The chosen measures of one pair of models, from the side of each."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from un_lightning.config import CorrelationConfig, MeasureName
from un_lightning.errors import UserError
from un_lightning.stats.measures import find
from un_lightning.stats.measures.cosine import largest_cosine
from un_lightning.stats.measures.jaccard import largest_jaccard
from un_lightning.stats.measures.linreg import explained_by_all, explained_by_layers
from un_lightning.stats.measures.matching import Matching, match_units
from un_lightning.stats.measures.mutual import mutual
from un_lightning.stats.pair_sums import PairSums


class Measured(NamedTuple):
    """What the measures say about one model's units and layers against another model."""

    units: dict[str, Shaped[np.ndarray, " units"]]
    """Columns with one value a unit; NaN for invalid units."""
    layers: dict[str, Float[np.ndarray, "layers other_layers"]]
    """Columns with one value a pair of layers."""
    scalars: dict[str, float]
    """In area/name form."""

    def update(self, other: "Measured") -> None:
        """Add what other measures say."""
        self.units.update(other.units)
        self.layers.update(other.layers)
        self.scalars.update(other.scalars)

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Everything as tensors, by kind and name."""
        for kind, values in self._asdict().items():
            for name, value in values.items():
                scalar = isinstance(value, float)
                yield f"{kind}/{name}", torch.as_tensor(value, dtype=torch.float64 if scalar else None)

    def put(self, place: str, values: Tensor) -> None:
        """The reverse of `named`, one by one."""
        kind, _, name = place.partition("/")
        getattr(self, kind)[name] = float(values) if kind == "scalars" else _numpy(values)


Sides = tuple[Measured, Measured]


def measure_products(pair: PairSums, config: CorrelationConfig) -> Sides:
    """Compute those measures that read the products of all units.

    Args:
        pair: Sums of the pair.
        config: Measures and their settings.

    Returns:
        The row model against the column model, and the reverse.
    """
    sides = Measured({}, {}, {}), Measured({}, {}, {})
    for name in config.measures:
        if name in config.whole_pair_measures:
            measure = _OF_PRODUCTS.get(name) or _packaged(name)
            for side, found in zip(sides, measure(pair, config), strict=True):
                side.update(found)
    return sides


def mutual_sides(forward: Int[Tensor, "left k"], backward: Int[Tensor, "right k"]) -> Sides:
    """Mutual nearest neighbours.

    Args:
        forward: Nearest units of the column model for each unit of the row model; -1 for none.
        backward: The reverse.
    """

    def one(mine: Tensor, theirs: Tensor) -> Measured:
        best = mutual(mine[:, :1], theirs[:, :1])
        units = {"mutual": best, "mutual_top_k": mutual(mine, theirs)}
        return Measured({name: _numpy(found) for name, found in units.items()}, {}, {})

    return one(forward, backward), one(backward, forward)


def cka_sides(similarity: Float[Tensor, "left_layers right_layers"]) -> Sides:
    """Similarity of layers."""
    cka = _numpy(similarity)
    return Measured({}, {"cka": cka}, {}), Measured({}, {"cka": cka.T}, {})


def _cosine(pair: PairSums, _: CorrelationConfig) -> Sides:
    return _both(pair, lambda side: Measured({"cosine_max": _numpy(largest_cosine(side))}, {}, {}))


def _jaccard(pair: PairSums, _: CorrelationConfig) -> Sides:
    return _both(pair, lambda side: Measured({"jaccard_max": _numpy(largest_jaccard(side))}, {}, {}))


def _linreg(pair: PairSums, config: CorrelationConfig) -> Sides:
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


def _matching(pair: PairSums, config: CorrelationConfig) -> Sides:
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


def _packaged(name: str) -> Callable[[PairSums, CorrelationConfig], Sides]:
    """A measure that another package brings."""
    measure = find(name)

    def one(side: PairSums) -> Measured:
        found = Measured({}, {}, {f"{name}/score": float(measure.score(side))})
        shapes = (len(side.product),), (len(side.left.layers), len(side.right.layers))
        parts = zip((measure.units, measure.layers), (found.units, found.layers), shapes, strict=True)
        for compute, part, shape in parts:
            if compute is not None:
                part[name] = _numpy(compute(side))
                if part[name].shape != shape:
                    raise ValueError(f"values of shape {part[name].shape}, but there must be {shape}")
        return found

    def both(pair: PairSums, _: CorrelationConfig) -> Sides:
        try:
            return _both(pair, one)
        except Exception as error:
            raise UserError(f"the measure '{name}' fails: {type(error).__name__}: {error}") from error

    return both


_OF_PRODUCTS: dict[str, Callable[[PairSums, CorrelationConfig], Sides]] = {
    MeasureName.cosine: _cosine,
    MeasureName.jaccard: _jaccard,
    MeasureName.linreg: _linreg,
    MeasureName.matching: _matching,
}


def _both(pair: PairSums, one: Callable[[PairSums], Measured]) -> Sides:
    return one(pair), one(pair.swapped)


def _numpy(values: Tensor) -> Shaped[np.ndarray, "..."]:
    return values.cpu().numpy()
