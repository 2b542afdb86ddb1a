"""Which labels fit a unit best, and which units fit a label best."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from un_lightning.stats.followed_labels import NONE


TIE = 1e-6
"""Squared correlations that differ by less are equal: rounding must not choose between names of one thing."""


class BestLabels(NamedTuple):
    """The best label of each kind; `NONE` and a correlation of 0 where no label of a kind has one."""

    corr: Float64[Tensor, "kinds units"]
    """Correlation with that label, of either sign."""
    label: Int64[Tensor, "kinds units"]

    def leading(self, slots: int) -> Int64[Tensor, "units slots"]:
        """Labels of the best kinds of each unit, the best first."""
        squares = (self.corr.square() / TIE).round()
        order = squares.sort(dim=0, descending=True, stable=True).indices[:slots]
        chosen = self.label.gather(0, order).T.contiguous()
        missing = slots - chosen.shape[1]
        return torch.cat([chosen, chosen.new_full((len(chosen), missing), NONE)], 1)


def best_labels(
    corr: Float64[Tensor, "labels units"], kinds: Int64[Tensor, " labels"], count: int
) -> BestLabels:
    """The label of each kind with the largest squared correlation; of equal ones one that raises the unit.

    Labels that exclude each other and leave nothing out, such as two subsets, explain exactly as much.

    Args:
        corr: Correlation of each label with each unit, NaN where there is none.
        kinds: Kind of each label.
        count: Number of kinds.
    """
    values = corr.new_zeros(count, corr.shape[1])
    labels = torch.full(values.shape, NONE, dtype=torch.int64, device=corr.device)
    for kind in range(count):
        rows = (kinds == kind).nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        own = corr[rows].nan_to_num(0.0)
        squares = own.square()
        equal = squares >= squares.amax(0) - TIE
        place = (2 * equal.int() + (own > 0)).argmax(0, keepdim=True)  # the first of the largest
        values[kind] = own.gather(0, place)[0]
        labels[kind] = torch.where(values[kind] != 0, rows[place[0]], NONE)
    return BestLabels(values, labels)


def best_units(
    corr: Float64[Tensor, "labels units"], k: int
) -> tuple[Float64[Tensor, "labels k"], Int64[Tensor, "labels k"]]:
    """The units with the largest squared correlation with each label.

    Returns:
        Their correlations, NaN where there are fewer, and their columns.
    """
    squared = corr.square().nan_to_num(nan=-1.0)
    order = squared.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return corr.gather(1, order), order
