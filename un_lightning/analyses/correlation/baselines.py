"""What each unit's largest correlation would be if the two models shared no units (method B.2)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
import xxhash
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.config import Baseline, BaselineOf, CorrelationConfig
from un_lightning.stats.noise import largest_with_noise
from un_lightning.stats.pair_sums import PairSums
from un_lightning.stats.rotation import RotatedLayer, random_matrix


def draw_seed(seed: int, model: str, layer: int | str, draw: int) -> int:
    """Seed of one draw for a layer of a model, the same in every pair that the model is in."""
    return xxhash.xxh64_intdigest(f"{seed}/{model}/{layer}/{draw}".encode()) >> 1


class PairBaseline(ABC):
    """The baseline of one model's units against another model."""

    @abstractmethod
    def largest(self, pair: PairSums) -> Float[Tensor, "draws rows"]:
        """Largest correlation of the row units of a pair with the columns' rotated or shuffled units.

        Args:
            pair: Sums of the row units with the units that are rotated or shuffled. -∞ where there are none.
        """


class RotationBaseline(PairBaseline):
    """Random matrices mix the units of each layer of the column model, one layer at a time."""

    def __init__(self, mixed: MemberSums, count: int, config: CorrelationConfig, seed: int) -> None:
        self.mixed, self.count, self.config, self.seed = mixed, count, config, seed

    def largest(self, pair: PairSums) -> Float[Tensor, "draws rows"]:
        """Largest correlation over the rotated units of all layers."""
        product = pair.product
        found = torch.full(
            (self.config.draws, len(product)), -torch.inf, dtype=product.dtype, device=product.device
        )
        for layer, columns in enumerate(self.mixed.units.layer_slices()):
            rotated = [self._rotated(layer, columns, draw) for draw in range(self.config.draws)]
            for rows in pair.tiles():
                covariance = pair.covariance(rows, columns)
                for draw, one in enumerate(rotated):
                    found[draw, rows] = found[draw, rows].maximum(one.max_correlation(covariance))
        return found

    def _rotated(self, layer: int, columns: slice, draw: int) -> RotatedLayer:
        mixed, kind = self.mixed, self.config.baseline
        gram = mixed.grams[layer]
        own = draw_seed(self.seed, mixed.units.model, mixed.first_layer + layer, draw)
        matrix = random_matrix(kind, len(gram), own, gram.device, gram.dtype)
        mean, valid = mixed.moments.mean[columns], mixed.moments.valid[columns]
        return RotatedLayer(matrix, gram, self.count, mean, valid, kind is Baseline.rotation_z)


class PermutationBaseline(PairBaseline):
    """Each token has the column model's activations at another token, so there is a product for each draw."""

    def __init__(self, products: Sequence[Float[Tensor, "rows columns"]]) -> None:
        self.products = products

    def largest(self, pair: PairSums) -> Float[Tensor, "draws rows"]:
        """Largest correlation with the units at exchanged tokens."""
        valid, everything = pair.right.moments.valid, slice(0, len(pair.right.moments.valid))
        draws = []
        for product in self.products:
            # Counted tokens changed places with each other: means and deviations are as they were.
            shuffled = pair._replace(product=product)
            parts = [
                shuffled.correlation(rows, everything).masked_fill_(~valid, -torch.inf).amax(1)
                for rows in pair.tiles()
            ]
            draws.append(torch.cat(parts))
        return torch.stack(draws)


class NoiseBaseline(PairBaseline):
    """Largest correlations with as many units of independent noise as the column model has valid units."""

    def __init__(
        self,
        rows: slice,
        left: MemberSums,
        right: MemberSums,
        count: int,
        config: CorrelationConfig,
        seed: int,
    ) -> None:
        self.rows = rows
        units, partners = left.units.count, int(right.moments.valid.sum())
        seeds = [draw_seed(seed, right.units.model, left.units.model, draw) for draw in range(config.draws)]
        self.draws = torch.stack([largest_with_noise(units, partners, count, one) for one in seeds])

    def largest(self, pair: PairSums) -> Float[Tensor, "draws rows"]:
        """Those of the row units."""
        return self.draws[:, self.rows].to(pair.product)


class Sides(NamedTuple):
    """The models of a block of rows, the row model whole and as far as the block goes."""

    left: MemberSums
    part: MemberSums
    right: MemberSums
    rows: slice
    """Where the part's units lie among all of the row model."""


def make_baselines(
    sides: Sides,
    shuffled: Sequence[Float[Tensor, "rows columns"]],
    count: int,
    config: CorrelationConfig,
    seed: int,
) -> list[PairBaseline]:
    """The baseline that the config names, for a block of rows and, unless they have none, for its columns.

    Args:
        sides: The models.
        shuffled: Products with exchanged tokens, one for each draw; read by `permutation` alone.
        count: Counted tokens.
        config: Kind of baseline and number of draws.
        seed: Seed of the run.
    """
    left, part, right, rows = sides
    both: list[PairBaseline]
    if config.baseline is Baseline.permutation:
        both = [PermutationBaseline(shuffled), PermutationBaseline([product.T for product in shuffled])]
    elif config.baseline is Baseline.noise:
        everything = slice(0, right.units.count)
        both = [
            NoiseBaseline(rows, left, right, count, config, seed),
            NoiseBaseline(everything, right, left, count, config, seed),
        ]
    else:
        both = [RotationBaseline(mixed, count, config, seed) for mixed in (right, part)]
    return both if config.baseline_of is BaselineOf.all else both[:1]
