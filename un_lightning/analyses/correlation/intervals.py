"""Confidence intervals of the correlation analysis: readings during the pass, a jackknife after it.

A group is made of whole documents (`data/stretches.py`) and no batch reaches across its end, so leaving out a
group leaves out documents, whatever the batch size (method B9).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from un_lightning.analyses.correlation.partner_errors import Followed, partner_errors
from un_lightning.analyses.correlation.row_blocks import RowBlock
from un_lightning.models.units import Units
from un_lightning.stats.champions import Champions
from un_lightning.stats.correlation import correlation_tiles
from un_lightning.stats.cross_product import CrossProduct
from un_lightning.stats.jackknife import GroupSums
from un_lightning.stats.pair_sums import moments_of
from un_lightning.stats.readings import Aligned, PairReadings, UnitReadings, own_sums
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.unit_sums import UnitMoments, UnitSums, moments_of_sums


def groups_of_share(groups: int, shares: int) -> int:
    """Groups of which one share of the text has a part at most, where all together have so many."""
    return min(groups, -(-groups // shares) + 1)


class WithoutEach(NamedTuple):
    """What leaving out one group at a time leaves of one model's mean correlations."""

    corr: Float[np.ndarray, "groups units"]
    tokens: Float[np.ndarray, " groups"]
    """Of the group that is left out."""


class Intervals:
    """Readings of the sums of a pass, and the errors that follow from them.

    Candidates are the best partners after a rank's first group, in each block of rows; what becomes a unit's
    best later joins them (`Champions`). How a unit's error follows: `partner_errors`.
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
        ends: Sequence[int] = (),
    ) -> None:
        """Make readings for all blocks of all passes.

        Args:
            sums: Sums of each model's units.
            units: Units of each model.
            blocks: Blocks of all passes and devices.
            groups: Groups that all shares together have.
            candidates: Partners of each unit that are followed.
            share: Which share of the batches this rank reads.
            shares: How many shares there are.
            ends: Batches of this rank up to the end of each group of which it has a part.
        """
        self.sums, self.ends = sums, list(ends)
        self.groups = groups_of_share(groups, shares)
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
        lead = lambda units, partners: Champions(
            shares, self.groups, units, max(partners - candidates, 0), share, device
        )
        self.row_champions = {block: lead(height[block], sizes[block.right]) for block in blocks}
        self.column_champions = {block: lead(sizes[block.right], height[block]) for block in blocks}

    def of_models(self) -> dict[str, Statistic]:
        """Readings of each model's own sums, by name."""
        return {f"readings-{name}": reading for name, reading in self.units.items()}

    def of_blocks(self, blocks: Iterable[RowBlock]) -> dict[str, Statistic]:
        """Readings of some blocks, by name."""
        return {
            f"readings-{side}-{block.name}": readings[block]
            for block in blocks
            for side, readings in (
                ("rows", self.rows),
                ("columns", self.columns_of),
                ("row-champions", self.row_champions),
                ("column-champions", self.column_champions),
            )
        }

    def after_batch(
        self,
        position: int,
        counted: int,
        products: Mapping[RowBlock, CrossProduct],
        shifts: Mapping[str, Tensor],
        tile: int,
        alone: bool,
    ) -> None:
        """Read out the sums if a group of batches is over.

        Args:
            position: Batches of this rank in the sums.
            counted: Counted tokens in the sums.
            products: Products of this rank's blocks.
            shifts: What was subtracted from each model's units.
            tile: Rows of correlations at a time, when candidates are chosen.
            alone: Whether to read the models' own sums; a later pass has none.
        """
        if position not in self.ends:
            return
        group = len(self.ends) - 1 - self.ends[::-1].index(position)
        for name, reading in self.units.items() if alone else ():
            reading.read(group, counted, self.sums[name].tensors)
        self.latest = group, list(products)
        for block, statistic in products.items():
            product, rows, columns = statistic.tensors["product"], self.rows[block], self.columns_of[block]
            left, right = self._moments(block, group, shifts)
            if not rows.tensors["chosen"][rows.rank]:
                rows.choose(_candidates(product, counted, left, right, rows.width, tile))
                columns.choose(_candidates(product.T, counted, right, left, columns.width, tile))
            else:
                sides = (
                    (self.row_champions[block], rows, product, left, right),
                    (self.column_champions[block], columns, product.T, right, left),
                )
                for champions, known, matrix, mine, theirs in sides:
                    best = _candidates(matrix, counted, mine, theirs, 1, tile)[:, 0]
                    champions.join(group, best, known.tensors["candidates"][known.rank])
            for reading in (rows, self.row_champions[block]):
                reading.read(group, product)
            for reading in (columns, self.column_champions[block]):
                reading.read(group, product.T)

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

    def _followed(self, mine: str, other: str, partner: Tensor, corr: Tensor) -> Followed:
        """What is known of one model's units and their final partners in another."""
        blocks = sorted(self.rows, key=lambda block: block.rows.start)
        own = [block for block in blocks if block.pair == (mine, other)]
        if own:
            parts = [
                _since(self.rows[block], self.row_champions[block], partner[block.rows], 0) for block in own
            ]
            since = torch.cat([start for start, _ in parts], dim=1)
            running = torch.cat([product for _, product in parts], dim=2)
        else:
            own = [block for block in blocks if block.pair == (other, mine)]
            parts = [
                _since(self.columns_of[block], self.column_champions[block], partner, block.rows.start)
                for block in own
            ]
            since, running = parts[0]
            for start, product in parts[1:]:  # a partner lies in one block, and no other knows it
                running = torch.where((start < since)[:, None], product, running)
                since = torch.minimum(start, since)
        left, right = self.units[mine].tensors, self.units[other].tensors
        return Followed(
            since,
            running.double(),
            left["sum"],
            left["squares"],
            right["sum"][..., partner],
            right["squares"][..., partner],
            corr,
        )

    def columns(
        self, mine: str, best: Mapping[str, tuple[Tensor, Tensor]], table: pd.DataFrame, confidence: float
    ) -> pd.DataFrame:
        """Error columns of one model's neuron table, once all ranks are merged.

        Args:
            mine: The model.
            best: Index of each unit's best partner in each other model, and the correlation with it.
            table: The model's rows of the neuron table, with valid and mean_corr.
            confidence: Of the intervals, such as 0.95.

        Returns:
            `followed` (whether the error comes from the unit's own groups), `corr_stderr`, `mean_corr_low`,
            `mean_corr_high` (on Fisher's z scale) and `split_corr`: the mean correlation with partners chosen
            on one half of the tokens, measured on the other.
        """
        split, followed = [], []
        for other, (partner, corr) in best.items():
            followed.append(self._followed(mine, other, partner, corr))
            candidates, everywhere, running = self._aligned(mine, other)
            groups = self._group_sums(mine, other, candidates, running)
            split.append(_split_half(groups, everywhere, self._measuring(mine)))
        valid = torch.tensor(table["valid"].to_numpy().tolist(), device=followed[0].start.device)
        found = partner_errors(followed, self.units[mine].tensors["count"], valid)
        self.without[mine] = WithoutEach(found.without.cpu().numpy(), found.tokens.cpu().numpy())
        reach = student.ppf(0.5 + confidence / 2, max(len(found.tokens) - 1, 1))
        low, high = correlation_interval(table["mean_corr"].to_numpy(), reach * found.stderr.cpu().numpy())
        split_corr = torch.stack(split).mean(0).cpu().numpy()
        split_corr[~table["valid"].to_numpy()] = np.nan
        return pd.DataFrame(
            {
                "followed": found.own.cpu().numpy(),
                "corr_stderr": found.stderr.cpu().numpy(),
                "mean_corr_low": low,
                "mean_corr_high": high,
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


def _since(
    readings: PairReadings, champions: Champions, partner: Int[Tensor, " units"], offset: int
) -> tuple[Int[Tensor, "ranks units"], Float[Tensor, "ranks groups units"]]:
    """Group from which on each rank knows the products of a partner, and their running sums."""
    hit = (readings.tensors["candidates"] == (partner - offset)[None, :, None]).to(torch.int8)
    place = hit.argmax(2, keepdim=True)
    groups = readings.tensors["product"].shape[1]
    fixed = readings.tensors["product"].gather(3, place[:, None].expand(-1, groups, -1, -1)).squeeze(3)
    start, running = champions.find(partner, offset)
    known = hit.any(2) & (readings.tensors["chosen"] > 0)[:, None]
    return torch.where(known, 0, start), torch.where(known[:, None], fixed, running)


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


def correlation_interval(
    corr: Float[np.ndarray, " units"], half: Float[np.ndarray, " units"]
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """An interval on Fisher's z scale, from half of its width on that of the correlation.

    Near 1 the scale stretches without end, and so do errors that are mere rounding if they are taken on it.
    The slope 1 / (1 - ρ²), with what float32 cannot tell from 1 as the smallest distance, keeps both
    together.

    Args:
        corr: Correlations; NaN for none.
        half: Half widths, such as a standard error times Student's t.
    """
    centre = np.arctanh(np.clip(corr, -1 + _NEAREST, 1 - _NEAREST))
    reach = half / np.maximum(1 - corr**2, 2 * _NEAREST)
    return np.minimum(np.tanh(centre - reach), corr), np.maximum(np.tanh(centre + reach), corr)


_NEAREST = 2.0**-23
