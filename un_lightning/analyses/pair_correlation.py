"""One pair of models: from its sums to each unit's row of correlations and its rotation baseline."""

from typing import NamedTuple

import torch
import xxhash
from jaxtyping import Float
from torch import Tensor

from un_lightning.config import CorrelationConfig
from un_lightning.models.units import Units
from un_lightning.stats.correlation import correlation_tiles
from un_lightning.stats.rotation import RotatedLayer, random_matrix
from un_lightning.stats.row_summary import RowSummary
from un_lightning.stats.unit_sums import UnitMoments


class MemberSums(NamedTuple):
    """What one model contributes to every pair that it is in."""

    units: Units
    moments: UnitMoments
    grams: list[Float[Tensor, "width width"]]
    """Σ v vᵀ of shifted activations within each layer."""


class View(NamedTuple):
    """One model's units against all units of the other model."""

    summary: RowSummary
    baseline: Float[Tensor, "draws units"]
    """Largest correlation with a rotated unit of the other model, for each draw of rotations."""


def draw_seed(seed: int, model: str, layer: int, draw: int) -> int:
    """Seed of one random matrix, the same in every pair that the model is in."""
    return xxhash.xxh64_intdigest(f"{seed}/{model}/{layer}/{draw}".encode()) >> 1


def pair_views(
    left: MemberSums,
    right: MemberSums,
    product: Float[Tensor, "left right"],
    count: int,
    config: CorrelationConfig,
    seed: int,
) -> tuple[View, View]:
    """The pair seen from both sides; correlations exist for `config.tile` rows at a time.

    Args:
        left: The row model.
        right: The column model.
        product: Σ a bᵀ of shifted activations.
        count: Counted tokens.
        config: Rotations, top k, bins and tile.
        seed: Seed of the run.

    Returns:
        The row model against the column model, and the reverse.
    """
    device = product.device
    rows = RowSummary(left.units.count, config.top_k, config.bins, device, product.dtype)
    columns = RowSummary(right.units.count, config.top_k, config.bins, device, product.dtype)
    tiles = correlation_tiles(product, count, left.moments, right.moments, config.tile)
    baseline = _Baseline(right, count, config, seed)
    forward = torch.empty(config.draws, left.units.count, dtype=product.dtype, device=device)
    for chosen, correlation, covariance in tiles:
        rows.update(correlation, chosen, 0, right.moments.valid)
        everything = slice(0, right.units.count)
        columns.update(correlation.T, everything, chosen.start, left.moments.valid[chosen])
        forward[:, chosen] = baseline.of(covariance)
    backward = torch.empty(config.draws, right.units.count, dtype=product.dtype, device=device)
    baseline = _Baseline(left, count, config, seed)
    for chosen, _, covariance in correlation_tiles(
        product.T, count, right.moments, left.moments, config.tile
    ):
        backward[:, chosen] = baseline.of(covariance)
    return View(rows, forward), View(columns, backward)


class _Baseline:
    """Every draw of rotations of one model's layers."""

    def __init__(self, member: MemberSums, count: int, config: CorrelationConfig, seed: int) -> None:
        self.slices = member.units.layer_slices()
        self.layers = []
        for layer, (gram, columns) in enumerate(zip(member.grams, self.slices, strict=True)):
            mean, valid = member.moments.mean[columns], member.moments.valid[columns]
            draws = []
            for draw in range(config.draws):
                own = draw_seed(seed, member.units.model, layer, draw)
                matrix = random_matrix(config.baseline, len(gram), own, gram.device, gram.dtype)
                draws.append(RotatedLayer(matrix, gram, count, mean, valid))
            self.layers.append(draws)

    def of(self, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, "draws rows"]:
        """Largest correlation over the rotated units of all layers."""
        maxima = [
            torch.stack([draw.max_correlation(covariance[:, columns]) for draw in draws])
            for columns, draws in zip(self.slices, self.layers, strict=True)
        ]
        return torch.stack(maxima).amax(0)
