"""Confidence intervals of the correlation analysis: readings during the pass, a jackknife after it.

The reading order keeps neighbouring blocks together, so a document lies in one group but for the few that
a group's border cuts, and leaving out a group leaves out documents (method B9).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

from un_lightning.stats.correlation import correlation_tiles
from un_lightning.stats.cross_product import CrossProduct
from un_lightning.stats.jackknife import GroupSums, standard_error
from un_lightning.stats.readings import PairReadings, UnitReadings, own_sums
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.unit_sums import UnitSums


class Intervals:
    """Readings of the sums of a pass, and the errors that follow from them.

    Candidates are the best partners after a rank's first group; a unit whose final best partner was not
    among them, on every rank, has no interval and says so in the column `followed`.
    """

    def __init__(
        self,
        sums: Mapping[str, UnitSums],
        products: Mapping[tuple[str, str], CrossProduct],
        groups: int,
        candidates: int,
        rank: int,
        world: int,
    ) -> None:
        self.sums, self.products, self.groups = sums, products, groups
        device = next(iter(products.values())).tensors["product"].device
        sizes = {name: len(one.tensors["sum"]) for name, one in sums.items()}
        self.units = {name: UnitReadings(world, groups, size, rank, device) for name, size in sizes.items()}
        views = [view for left, right in products for view in ((left, right), (right, left))]
        self.pairs = {
            (mine, other): PairReadings(
                world, groups, sizes[mine], min(candidates, sizes[other]), rank, device
            )
            for mine, other in views
        }

    def statistics(self) -> dict[str, Statistic]:
        """What has to be saved and merged."""
        return {
            **{f"readings-{name}": reading for name, reading in self.units.items()},
            **{f"readings-{mine}-{other}": reading for (mine, other), reading in self.pairs.items()},
        }

    def after_batch(
        self, position: int, batches: int, counted: int, shifts: Mapping[str, Tensor], tile: int
    ) -> None:
        """Read out the sums if a group of batches is over.

        Args:
            position: Batches of this rank in the sums.
            batches: Batches that this rank reads in all.
            counted: Counted tokens in the sums.
            shifts: What was subtracted from each model's units.
            tile: Rows of correlations at a time, when candidates are chosen.
        """
        group = (position - 1) * self.groups // batches
        if position < batches and position * self.groups // batches == group:
            return
        for name, reading in self.units.items():
            reading.read(group, counted, self.sums[name].tensors)
        for (left, right), statistic in self.products.items():
            product = statistic.tensors["product"]
            if not self.pairs[left, right].tensors["chosen"][self.pairs[left, right].rank]:
                self._choose(left, right, product, max(counted, 1), shifts, tile)
            self.pairs[left, right].read(group, product)
            self.pairs[right, left].read(group, product.T)

    def _choose(
        self, left: str, right: str, product: Tensor, counted: int, shifts: Mapping[str, Tensor], tile: int
    ) -> None:
        moments = {name: self.sums[name].moments(counted, shifts[name]) for name in (left, right)}
        for mine, other, matrix in ((left, right, product), (right, left, product.T)):
            pair = self.pairs[mine, other]
            width = pair.tensors["candidates"].shape[2]
            chosen = torch.empty(len(matrix), width, dtype=torch.int64, device=matrix.device)
            for rows, tile_of, _ in correlation_tiles(matrix, counted, moments[mine], moments[other], tile):
                chosen[rows] = tile_of.topk(width, dim=1).indices
            pair.choose(chosen)

    def columns(
        self, mine: str, best: Mapping[str, Tensor], table: pd.DataFrame, confidence: float
    ) -> pd.DataFrame:
        """Error columns of one model's neuron table, once all ranks are merged.

        Args:
            mine: The model.
            best: Index of each unit's best partner in each other model.
            table: The model's rows of the neuron table, with mean_corr, excess_corr, baseline_stderr.
            confidence: Of the intervals, such as 0.95.

        Returns:
            `followed`, `corr_stderr`, `mean_corr_low`, `mean_corr_high` (on Fisher's z scale),
            `excess_low`, `excess_high` (the baseline's standard error included) and `split_corr`: the
            mean correlation with partners chosen on one half of the tokens, measured on the other.
        """
        followed, whole, without, split = [], [], [], []
        tokens = torch.empty(0)
        for other, partner in best.items():
            candidates, everywhere, running = self.pairs[mine, other].aligned()
            hit = (candidates == partner[:, None]) & (everywhere > 0)
            followed.append(hit.any(1))
            groups = self._group_sums(mine, other, candidates, running)
            one = hit.to(torch.int8).argmax(1)
            chosen = _pick(groups, one, candidates.shape[1])
            whole.append(chosen.total().correlation()[0])
            without.append(chosen.without_each().correlation())
            split.append(_split_half(groups, everywhere))
            tokens = groups.tokens
        value = torch.stack(whole).mean(0)
        left_out = torch.stack(without).mean(0)
        error = standard_error(value, left_out, tokens).cpu().numpy()
        error_z = standard_error(_z(value), _z(left_out), tokens).cpu().numpy()
        missing = ~torch.stack(followed).all(0).cpu().numpy() | ~table["valid"].to_numpy()
        error[missing] = error_z[missing] = np.nan
        reach = student.ppf(0.5 + confidence / 2, max(len(tokens) - 1, 1))
        mean, excess = table["mean_corr"].to_numpy(), table["excess_corr"].to_numpy()
        draws = np.nan_to_num(table["baseline_stderr"].to_numpy())
        centre = np.arctanh(np.clip(mean, -1 + 1e-12, 1 - 1e-12))
        spread = reach * np.sqrt(error**2 + draws**2)
        split_corr = torch.stack(split).mean(0).cpu().numpy()
        split_corr[~table["valid"].to_numpy()] = np.nan
        return pd.DataFrame(
            {
                "followed": ~missing,
                "corr_stderr": error,
                "mean_corr_low": np.tanh(centre - reach * error_z),
                "mean_corr_high": np.tanh(centre + reach * error_z),
                "excess_low": excess - spread,
                "excess_high": excess + spread,
                "split_corr": split_corr,
            },
            index=table.index,
        )

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


def _pick(groups: GroupSums, which: Tensor, width: int) -> GroupSums:
    """One candidate of each unit."""
    column = torch.arange(len(which), device=which.device) * width + which
    return GroupSums(groups.tokens, *(part[:, column] for part in groups[1:]))


def _split_half(groups: GroupSums, everywhere: Float[Tensor, "units k"]) -> Float[Tensor, " units"]:
    """Choose the partner on one half of the groups, measure on the other, both ways, averaged.

    The first group chose the candidates, so it measures nothing.
    """
    width = everywhere.shape[1]
    index = torch.arange(len(groups.tokens), device=groups.tokens.device)
    halves = [groups.some(index[(index > 0) & (index % 2 == side)]).total() for side in (0, 1)]
    hidden = torch.where(everywhere > 0, 0.0, torch.nan)
    rho = [half.correlation().view(-1, width) + hidden for half in halves]
    values = []
    for chooser, judge in ((0, 1), (1, 0)):
        which = rho[chooser].nan_to_num(-torch.inf).argmax(1, keepdim=True)
        values.append(rho[judge].gather(1, which)[:, 0])
    return torch.stack(values).mean(0)


def _z(correlation: Tensor) -> Tensor:
    return torch.atanh(correlation.clamp(-1 + 1e-12, 1 - 1e-12))
