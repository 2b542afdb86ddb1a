"""One pair of models: from its sums to each unit's row of correlations and its baseline."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.baselines import make_baseline
from un_lightning.analyses.member_sums import MemberSums
from un_lightning.config import CorrelationConfig
from un_lightning.stats.correlation import correlation_tiles
from un_lightning.stats.row_summary import RowSummary


class View(NamedTuple):
    """One model's units against all units of the other model."""

    summary: RowSummary
    baseline: Float[Tensor, "draws units"]
    """What the largest correlation would be without shared units, for each draw."""


def pair_views(
    left: MemberSums,
    right: MemberSums,
    product: Float[Tensor, "left right"],
    count: int,
    config: CorrelationConfig,
    seed: int,
    shuffled: Sequence[Float[Tensor, "left right"]] = (),
) -> tuple[View, View]:
    """The pair seen from both sides; correlations exist for `config.tile` rows at a time.

    Args:
        left: The row model.
        right: The column model.
        product: Σ a bᵀ of shifted activations.
        count: Counted tokens.
        config: Baseline, top k, bins and tile.
        seed: Seed of the run.
        shuffled: Products with exchanged tokens, one for each draw of the permutation baseline.

    Returns:
        The row model against the column model, and the reverse.
    """
    device = product.device
    rows = RowSummary(left.units.count, config.top_k, config.bins, device, product.dtype)
    columns = RowSummary(right.units.count, config.top_k, config.bins, device, product.dtype)
    tiles = correlation_tiles(product, count, left.moments, right.moments, config.tile)
    baseline = make_baseline(left, right, shuffled, count, config, seed)
    forward = torch.empty(config.draws, left.units.count, dtype=product.dtype, device=device)
    for chosen, correlation, covariance in tiles:
        rows.update(correlation, chosen, 0, right.moments.valid)
        everything = slice(0, right.units.count)
        columns.update(correlation.T, everything, chosen.start, left.moments.valid[chosen])
        forward[:, chosen] = baseline.of(chosen, covariance)
    backward = torch.empty(config.draws, right.units.count, dtype=product.dtype, device=device)
    baseline = make_baseline(right, left, [product.T for product in shuffled], count, config, seed)
    for chosen, _, covariance in correlation_tiles(
        product.T, count, right.moments, left.moments, config.tile
    ):
        backward[:, chosen] = baseline.of(chosen, covariance)
    return View(rows, forward), View(columns, backward)
