"""What each unit's largest correlation would be if the two models shared no units (method B.2)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import xxhash
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.member_sums import MemberSums
from un_lightning.config import Baseline, CorrelationConfig
from un_lightning.stats.correlation import centred
from un_lightning.stats.noise import largest_with_noise
from un_lightning.stats.pair_sums import moments_of
from un_lightning.stats.rotation import RotatedLayer, random_matrix
from un_lightning.stats.unit_sums import UnitMoments


def draw_seed(seed: int, model: str, layer: int | str, draw: int) -> int:
    """Seed of one draw for a layer of a model, the same in every pair that the model is in."""
    return xxhash.xxh64_intdigest(f"{seed}/{model}/{layer}/{draw}".encode()) >> 1


class PairBaseline(ABC):
    """The baseline of one model's units against another model."""

    @abstractmethod
    def of(self, rows: slice, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, "draws rows"]:
        """Largest correlation of some row units.

        Args:
            rows: Which rows.
            covariance: Cov(a, b) / σ_a with every unit of the other model.
        """


class RotationBaseline(PairBaseline):
    """Random matrices mix the units of each layer of the other model."""

    def __init__(self, member: MemberSums, count: int, config: CorrelationConfig, seed: int) -> None:
        self.slices = member.units.layer_slices()
        self.layers = []
        standardise = config.baseline is Baseline.rotation_z
        for layer, (gram, columns) in enumerate(zip(member.grams, self.slices, strict=True)):
            mean, valid = member.moments.mean[columns], member.moments.valid[columns]
            draws = []
            for draw in range(config.draws):
                own = draw_seed(seed, member.units.model, layer, draw)
                matrix = random_matrix(config.baseline, len(gram), own, gram.device, gram.dtype)
                draws.append(RotatedLayer(matrix, gram, count, mean, valid, standardise))
            self.layers.append(draws)

    def of(self, rows: slice, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, "draws rows"]:  # noqa: ARG002
        """Largest correlation over the rotated units of all layers."""
        maxima = [
            torch.stack([draw.max_correlation(covariance[:, columns]) for draw in draws])
            for columns, draws in zip(self.slices, self.layers, strict=True)
        ]
        return torch.stack(maxima).amax(0)


class PermutationBaseline(PairBaseline):
    """Each token has the other model's activations at another token, so there is a product for each draw."""

    def __init__(
        self,
        products: Sequence[Float[Tensor, "left right"]],
        count: int,
        left: UnitMoments,
        right: UnitMoments,
    ) -> None:
        self.products = products
        self.count = count
        self.left, self.right = left, right

    def of(self, rows: slice, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, "draws rows"]:
        """Largest correlation with the units at exchanged tokens; NaN where there is no valid unit."""
        valid = self.right.valid
        scale = torch.where(valid, 1 / self.right.deviation, 0.0).to(covariance.dtype)
        draws = []
        for product in self.products:
            # Counted tokens changed places with each other: means and deviations are as they were.
            shuffled = centred(product[rows], self.count, moments_of(self.left, rows), self.right)
            draws.append(shuffled.mul_(scale).masked_fill_(~valid, -torch.inf).amax(1))
        largest = torch.stack(draws)
        return largest.masked_fill_(largest == -torch.inf, torch.nan).clamp_(-1, 1)


class NoiseBaseline(PairBaseline):
    """Largest correlations with as many units of independent noise as the other model has valid units."""

    def __init__(
        self, left: MemberSums, right: MemberSums, count: int, config: CorrelationConfig, seed: int
    ) -> None:
        rows, partners = left.units.count, int(right.moments.valid.sum())
        seeds = [draw_seed(seed, right.units.model, left.units.model, draw) for draw in range(config.draws)]
        self.draws = torch.stack([largest_with_noise(rows, partners, count, one) for one in seeds])

    def of(self, rows: slice, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, "draws rows"]:
        """Those of some row units."""
        return self.draws[:, rows].to(covariance)


def make_baseline(
    left: MemberSums,
    right: MemberSums,
    shuffled: Sequence[Float[Tensor, "left right"]],
    count: int,
    config: CorrelationConfig,
    seed: int,
) -> PairBaseline:
    """The baseline that the config names, for the units of one model against another.

    Args:
        left: The row model.
        right: The model that is rotated, shuffled or replaced by noise.
        shuffled: Products with exchanged tokens, one for each draw; read by `permutation` alone.
        count: Counted tokens.
        config: Kind of baseline and number of draws.
        seed: Seed of the run.
    """
    if config.baseline is Baseline.permutation:
        return PermutationBaseline(shuffled, count, left.moments, right.moments)
    if config.baseline is Baseline.noise:
        return NoiseBaseline(left, right, count, config, seed)
    return RotationBaseline(right, count, config, seed)
