"""Histograms of every unit's value, and quantiles from them (method C.1)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int32, Int64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class Histogram(Statistic):
    """Equal bins over a range of each unit's own, with what lies below and above it counted, too.

    Column 0 counts what lies below the range and the last column what lies above; the columns between are
    the bins. Counts are exact integers; a value nearer to an edge than float32 resolves (some 10⁻⁷ of the
    range) can fall on either side of it. Smallest and largest value are kept, so that the two outer columns
    have ends.
    """

    def __init__(
        self,
        low: Float[Tensor, " units"],
        high: Float[Tensor, " units"],
        bins: int,
        groups: int = 1,
        right_closed: bool = False,
    ) -> None:
        """Allocate.

        Args:
            low: Lower end of each unit's range, the same on every rank.
            high: Upper end, above `low`.
            bins: Bins of the range.
            groups: Groups of tokens that are kept apart.
            right_closed: A bin holds its upper edge instead of its lower one.
        """
        units, device = len(low), low.device
        extremes = lambda value: torch.full((groups, units), value, dtype=low.dtype, device=device)
        super().__init__(
            {
                "counts": torch.zeros(groups, units, bins + 2, dtype=torch.int64, device=device),
                "min": extremes(torch.inf),
                "max": extremes(-torch.inf),
            },
            {"min": "min", "max": "max"},
        )
        self.low, self.high, self.bins = low, high, bins
        self.right_closed = right_closed
        # Counted from the upper end downwards, left-closed bins are right-closed ones.
        first, sign = (high, -1) if right_closed else (low, 1)
        self.scale = sign * bins / (high.double() - low.double())
        self.offset = (1 - first.double() * self.scale).to(low.dtype)  # the first bin is column 1
        self.scale = self.scale.to(low.dtype)

    def add(
        self, group: int, columns: slice, values: Float[Tensor, "tokens units"]
    ) -> Int32[Tensor, "tokens units"]:
        """Count tokens of one group.

        Args:
            group: Their group.
            columns: Which units the values are of. NaN is counted as if it were far outside.
            values: Their values.

        Returns:
            The column of each value, counted from the upper end where bins are right-closed.
        """
        place = torch.addcmul(self.offset[columns], values, self.scale[columns])
        index = place.nan_to_num_(nan=0.0).clamp_(0, self.bins + 1).to(torch.int32)
        if len(values) == 0:
            return index
        for name, extreme in (("min", values.amin(0)), ("max", values.amax(0))):
            target = self.tensors[name][group, columns]
            (torch.minimum if name == "min" else torch.maximum)(target, extreme, out=target)
        counts = self.tensors["counts"][group, columns]
        width = counts.shape[1]
        flat = index + torch.arange(0, counts.numel(), width, dtype=torch.int32, device=values.device)
        found = torch.bincount(flat.view(-1), minlength=counts.numel()).view_as(counts)
        counts += found.flip(1) if self.right_closed else found
        return index

    def counts(self, group: int | None = None) -> Int64[Tensor, "units columns"]:
        """Counts of one group, or of all groups together."""
        counts = self.tensors["counts"]
        return counts.sum(0) if group is None else counts[group]

    @property
    def bin_width(self) -> Float64[Tensor, " units"]:
        """Width of each unit's bins."""
        return (self.high.double() - self.low.double()) / self.bins

    def quantiles(self, levels: Sequence[float], group: int | None = None) -> Float64[Tensor, "levels units"]:
        """Values below which given shares of the tokens lie, linear within a bin.

        The value at level q lies in the bin of the ⌈q·n⌉-th smallest value, so it is wrong by less than the
        bin's width; in the outer columns, which reach to the extremes, by less than theirs.

        Args:
            levels: Shares in [0, 1].
            group: The group; None takes all groups together.

        Returns:
            NaN for units that were never counted.
        """
        counts = self.counts(group)
        low, high = (
            (self.tensors["min"].amin(0), self.tensors["max"].amax(0))
            if group is None
            else (self.tensors["min"][group], self.tensors["max"][group])
        )
        above = counts.cumsum(1)
        total = above[:, -1:].double()
        steps = torch.arange(self.bins + 1, dtype=torch.float64, device=counts.device)
        edges = self.low.double()[:, None] + steps * self.bin_width[:, None]
        ends = [end.double()[:, None] for end in (low, high)]
        lower = torch.cat([ends[0], edges], 1).clamp(*ends)
        upper = torch.cat([edges, ends[1]], 1).clamp(*ends)
        rows = []
        for level in levels:
            target = level * total
            column = torch.searchsorted(above.double(), target).clamp(max=counts.shape[1] - 1)
            here = counts.gather(1, column).double()
            share = 1 - (above.gather(1, column).double() - target) / here.clamp(min=1)
            left, right = lower.gather(1, column), upper.gather(1, column)
            rows.append((left + share.clamp(0, 1) * (right - left)).squeeze(1))
        unknown = (total.squeeze(1) == 0) | ~torch.isfinite(low) | ~torch.isfinite(high)
        return torch.stack(rows).masked_fill(unknown, torch.nan) if rows else lower.new_empty(0, len(counts))
