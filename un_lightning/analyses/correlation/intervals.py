"""Confidence intervals of the correlation analysis: readings during the pass, a jackknife after it.

The reading order keeps neighbouring blocks together, on one rank, so a document lies in one group but for the
few that a group's border cuts, and leaving out a group leaves out documents (method B9).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from un_lightning.analyses.correlation.row_blocks import RowBlock
from un_lightning.models.units import Units
from un_lightning.stats.correlation import correlation_tiles
from un_lightning.stats.cross_product import CrossProduct
from un_lightning.stats.jackknife import GroupSums, standard_error
from un_lightning.stats.pair_sums import moments_of
from un_lightning.stats.readings import Aligned, PairReadings, UnitReadings, own_sums
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.unit_sums import UnitMoments, UnitSums, moments_of_sums


LEAST_GROUPS = 2
"""On each share: the first one chooses the candidates, another one is needed to measure them."""


def groups_of_share(groups: int, shares: int) -> int:
    """Groups of batches that one share of the batches has, where all together shall have so many."""
    return max(LEAST_GROUPS, -(-groups // shares))


class WithoutEach(NamedTuple):
    """What leaving out one group at a time leaves of one model's mean correlations."""

    corr: Float[np.ndarray, "groups units"]
    tokens: Float[np.ndarray, " groups"]
    """Of the group that is left out."""


class Intervals:
    """Readings of the sums of a pass, and the errors that follow from them.

    Candidates are the best partners after a rank's first group, in each block of rows; a unit whose final
    best partner was not among them, on every rank, has no interval and says so in the column `followed`.
    """

    def __init__(
        self,
        sums: Mapping[str, UnitSums],
        units: Mapping[str, Units],
        blocks: Sequence[RowBlock],
        groups: int,
        candidates: int,
        share: int,
        shares: int,
    ) -> None:
        """Make readings for all blocks of all passes.

        Args:
            sums: Sums of each model's units.
            units: Units of each model.
            blocks: Blocks of all passes and devices.
            groups: Groups of batches that all shares together have, if each share has two or more.
            candidates: Partners of each unit that are followed.
            share: Which share of the batches this rank reads.
            shares: How many shares there are.
        """
        self.sums, self.groups = sums, groups_of_share(groups, shares)
        self.latest: tuple[int, list[RowBlock]] | None = None
        """The group that was read out last, and which blocks."""
        self.without: dict[str, WithoutEach] = {}
        """Of each model, filled by `columns`."""
        device = next(iter(sums.values())).tensors["sum"].device
        sizes = {name: one.count for name, one in units.items()}
        self.units = {
            name: UnitReadings(shares, self.groups, size, share, device) for name, size in sizes.items()
        }
        make = lambda rows, columns: PairReadings(
            shares, self.groups, rows, min(candidates, columns), share, device
        )
        height = {block: block.rows.stop - block.rows.start for block in blocks}
        self.rows = {block: make(height[block], sizes[block.right]) for block in blocks}
        """Of a block's row units with candidates among the columns."""
        self.columns_of = {block: make(sizes[block.right], height[block]) for block in blocks}
        """Of the column units with candidates among a block's rows."""

    def of_models(self) -> dict[str, Statistic]:
        """Readings of each model's own sums, by name."""
        return {f"readings-{name}": reading for name, reading in self.units.items()}

    def of_blocks(self, blocks: Iterable[RowBlock]) -> dict[str, Statistic]:
        """Readings of some blocks, by name."""
        return {
            f"readings-{side}-{block.name}": readings[block]
            for block in blocks
            for side, readings in (("rows", self.rows), ("columns", self.columns_of))
        }

    def after_batch(
        self,
        position: int,
        batches: int,
        counted: int,
        products: Mapping[RowBlock, CrossProduct],
        shifts: Mapping[str, Tensor],
        tile: int,
        alone: bool,
    ) -> None:
        """Read out the sums if a group of batches is over.

        Args:
            position: Batches of this rank in the sums.
            batches: Batches that this rank reads in all.
            counted: Counted tokens in the sums.
            products: Products of this rank's blocks.
            shifts: What was subtracted from each model's units.
            tile: Rows of correlations at a time, when candidates are chosen.
            alone: Whether to read the models' own sums; a later pass has none.
        """
        group = (position - 1) * self.groups // batches
        if position < batches and position * self.groups // batches == group:
            return
        for name, reading in self.units.items() if alone else ():
            reading.read(group, counted, self.sums[name].tensors)
        self.latest = group, list(products)
        for block, statistic in products.items():
            product, rows, columns = statistic.tensors["product"], self.rows[block], self.columns_of[block]
            if not rows.tensors["chosen"][rows.rank]:
                left, right = self._moments(block, group, shifts)
                rows.choose(_candidates(product, counted, left, right, rows.width, tile))
                columns.choose(_candidates(product.T, counted, right, left, columns.width, tile))
            rows.read(group, product)
            columns.read(group, product.T)

    def glance(self) -> dict[str, float]:
        """Mean and largest value of the row units' best correlations with their candidates, so far."""
        if self.latest is None:
            return {}
        group, blocks = self.latest
        best = []
        for block in blocks:
            reading, units = self.rows[block], [self.units[name] for name in block.pair]
            left, right = (
                {key: tensor[one.rank, group] for key, tensor in one.tensors.items()} for one in units
            )
            count = left["count"]
            partner = reading.tensors["candidates"][reading.rank]
            one, other = left["sum"][block.rows, None], right["sum"][partner]
            squares = left["squares"][block.rows, None] - one.square() / count
            squares = squares * (right["squares"][partner] - other.square() / count)
            product = reading.tensors["product"][reading.rank, group] - one * other / count
            best.append((product * squares.clamp(min=0).rsqrt()).nan_to_num(-1, -1, -1).amax(1))
        found = torch.cat(best)
        found = found[found > -1]
        if len(found) == 0:
            return {}
        return {"mean of the largest correlations": float(found.mean()), "largest": float(found.max())}

    def _moments(
        self, block: RowBlock, group: int, shifts: Mapping[str, Tensor]
    ) -> tuple[UnitMoments, UnitMoments]:
        """Moments of a block's models over the batches of this rank up to the end of a group."""
        found = []
        for name in block.pair:
            own = {
                key: tensor[self.units[name].rank, group] for key, tensor in self.units[name].tensors.items()
            }
            count = max(int(own["count"]), 1)
            found.append(moments_of_sums(own["sum"], own["squares"], count, shifts[name]))
        return moments_of(found[0], block.rows), found[1]

    def _aligned(self, mine: str, other: str) -> Aligned:
        """Candidates of one model's units in another, put together from all blocks of the pair."""
        own = [block for block in self.rows if block.pair == (mine, other)]
        if own:
            own.sort(key=lambda block: block.rows.start)
            parts = [self.rows[block].aligned() for block in own]
            return Aligned(
                *(torch.cat([part[index] for part in parts], dim=-2) for index in range(len(Aligned._fields)))
            )
        own = sorted(
            (block for block in self.rows if block.pair == (other, mine)), key=lambda block: block.rows.start
        )
        parts = [self.columns_of[block].aligned() for block in own]
        parts = [
            part._replace(candidates=part.candidates + block.rows.start)
            for part, block in zip(parts, own, strict=True)
        ]
        return Aligned(
            *(torch.cat([part[index] for part in parts], dim=-1) for index in range(len(Aligned._fields)))
        )

    def columns(
        self, mine: str, best: Mapping[str, Tensor], table: pd.DataFrame, confidence: float
    ) -> pd.DataFrame:
        """Error columns of one model's neuron table, once all ranks are merged.

        Args:
            mine: The model.
            best: Index of each unit's best partner in each other model.
            table: The model's rows of the neuron table, with valid and mean_corr.
            confidence: Of the intervals, such as 0.95.

        Returns:
            `followed`, `corr_stderr`, `mean_corr_low`, `mean_corr_high` (on Fisher's z scale) and
            `split_corr`: the mean correlation with partners chosen on one half of the tokens, measured on
            the other.
        """
        followed, whole, without, split = [], [], [], []
        tokens = torch.empty(0)
        for other, partner in best.items():
            candidates, everywhere, running = self._aligned(mine, other)
            hit = (candidates == partner[:, None]) & (everywhere > 0)
            followed.append(hit.any(1))
            groups = self._group_sums(mine, other, candidates, running)
            one = hit.to(torch.int8).argmax(1)
            chosen = _pick(groups, one, candidates.shape[1])
            whole.append(chosen.total().correlation()[0])
            without.append(chosen.without_each().correlation())
            split.append(_split_half(groups, everywhere, self._measuring(mine)))
            tokens = groups.tokens
        value = torch.stack(whole).mean(0)
        left_out = torch.stack(without).mean(0)
        error = standard_error(value, left_out, tokens).cpu().numpy()
        error_z = standard_error(_z(value), _z(left_out), tokens).cpu().numpy()
        missing = ~torch.stack(followed).all(0).cpu().numpy() | ~table["valid"].to_numpy()
        error[missing] = error_z[missing] = np.nan
        self.without[mine] = WithoutEach(left_out.cpu().numpy(), tokens.cpu().numpy())
        reach = student.ppf(0.5 + confidence / 2, max(len(tokens) - 1, 1))
        mean = table["mean_corr"].to_numpy()
        centre = np.arctanh(np.clip(mean, -1 + 1e-12, 1 - 1e-12))
        split_corr = torch.stack(split).mean(0).cpu().numpy()
        split_corr[~table["valid"].to_numpy()] = np.nan
        return pd.DataFrame(
            {
                "followed": ~missing,
                "corr_stderr": error,
                "mean_corr_low": np.tanh(centre - reach * error_z),
                "mean_corr_high": np.tanh(centre + reach * error_z),
                "split_corr": split_corr,
            },
            index=table.index,
        )

    def _measuring(self, name: str) -> Int[Tensor, " measuring"]:
        """Which of the groups with tokens chose no candidates, as the first of every share did."""
        count = self.units[name].tensors["count"]
        first = torch.zeros_like(count, dtype=torch.bool)
        first[:, 0] = True
        return (~first.flatten()[own_sums(count) > 0]).nonzero().flatten()

    def _group_sums(
        self, mine: str, other: str, candidates: Tensor, running: Float[Tensor, "ranks groups units k"]
    ) -> GroupSums:
        """Own sums of every group for all candidate pairs, flattened to [groups, units · candidates]."""
        left, right = self.units[mine].tensors, self.units[other].tensors
        width = candidates.shape[1]
        partner = candidates.flatten()
        count = own_sums(left["count"])
        full = count > 0
        return GroupSums(
            count,
            own_sums(left["sum"]).repeat_interleave(width, 1),
            own_sums(right["sum"])[:, partner],
            own_sums(left["squares"]).repeat_interleave(width, 1),
            own_sums(right["squares"])[:, partner],
            own_sums(running).flatten(1),
        ).some(full)


def _candidates(
    product: Float[Tensor, "units partners"],
    counted: int,
    mine: UnitMoments,
    theirs: UnitMoments,
    width: int,
    tile: int,
) -> Int[Tensor, "units k"]:
    """The best partners of each unit so far."""
    chosen = torch.empty(len(product), width, dtype=torch.int64, device=product.device)
    for rows, correlations, _ in correlation_tiles(product, max(counted, 1), mine, theirs, tile):
        chosen[rows] = correlations.topk(width, dim=1).indices
    return chosen


def _pick(groups: GroupSums, which: Tensor, width: int) -> GroupSums:
    """One candidate of each unit."""
    column = torch.arange(len(which), device=which.device) * width + which
    return GroupSums(groups.tokens, *(part[:, column] for part in groups[1:]))


def _split_half(
    groups: GroupSums, everywhere: Float[Tensor, "units k"], measuring: Int[Tensor, " measuring"]
) -> Float[Tensor, " units"]:
    """Choose the partner on one half of the measuring groups, measure on the other, both ways, averaged."""
    width = everywhere.shape[1]
    halves = [groups.some(measuring[side::2]).total() for side in (0, 1)]
    hidden = torch.where(everywhere > 0, 0.0, torch.nan)
    rho = [half.correlation().view(-1, width) + hidden for half in halves]
    values = []
    for chooser, judge in ((0, 1), (1, 0)):
        which = rho[chooser].nan_to_num(-torch.inf).argmax(1, keepdim=True)
        values.append(rho[judge].gather(1, which)[:, 0])
    return torch.stack(values).mean(0)


def _z(correlation: Tensor) -> Tensor:
    return torch.atanh(correlation.clamp(-1 + 1e-12, 1 - 1e-12))
