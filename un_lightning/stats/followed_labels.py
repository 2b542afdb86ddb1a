"""What is measured of a few labels of each unit, once it is known which (method E.1, E11).

Every unit has a fixed number of slots, each with a label or none. For each slot there is a histogram of the
unit's pre-activation at the tokens with the label, and sums by group of blocks, from which the errors follow.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from un_lightning.stats.histogram import Histogram
from un_lightning.stats.jackknife import GroupSums
from un_lightning.stats.statistic import Statistic


NONE = -1
"""The label of a slot that has none."""
_ENTRIES = 1 << 22
"""Pairs of a token and a slot that are added at a time."""


class LabelledTokens(NamedTuple):
    """The counted tokens of a batch, by what they are labelled."""

    labels: Bool[Tensor, "tokens labels"]
    """The labels that slots have."""
    groups: Int[Tensor, " tokens"]
    """Group of each token."""


class FollowedLabels(Statistic):
    """Histograms and sums of each slot.

    Activations are sums in float32 within a batch and a group and in float64 beyond; counts are exact.
    """

    def __init__(
        self, units: int, slots: int, bins: int, groups: int, labels: int, device: torch.device
    ) -> None:
        """Allocate.

        Args:
            units: Number of units.
            slots: Labels of each unit, at most.
            bins: Bins of the histograms.
            groups: Groups of blocks.
            labels: Labels whose tokens are counted in each group.
            device: Where the sums are.
        """
        count = lambda *shape: torch.zeros(*shape, dtype=torch.int64, device=device)
        total = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)
        super().__init__(
            {
                "having": count(units, slots, bins + 2),
                "product": total(groups, units, slots),
                "sum": total(groups, units),
                "squares": total(groups, units),
                "label": count(groups, labels),
                "tokens": count(groups),
            }
        )
        self.units, self.slots, self.width, self.groups = units, slots, bins + 2, groups

    def add_tokens(self, labels: Bool[Tensor, "tokens labels"], groups: Int[Tensor, " tokens"]) -> None:
        """Count tokens and labels by group, once for all units.

        Args:
            labels: Those labels whose tokens are counted.
            groups: Group of each token.
        """
        self.tensors["tokens"] += torch.bincount(groups, minlength=self.groups)
        for group in groups.unique():
            self.tensors["label"][group] += labels[groups == group].sum(0)

    def add(
        self,
        columns: slice,
        slots: Int64[Tensor, "units slots"],
        tokens: LabelledTokens,
        values: Float[Tensor, "tokens units"],
        places: Int[Tensor, "tokens units"],
    ) -> None:
        """Add a batch for some units.

        Args:
            columns: Which units.
            slots: Columns of `tokens.labels` that their slots have, `NONE` for none.
            tokens: Labels and groups.
            values: Activations less the shift.
            places: Histogram columns of the pre-activations.
        """
        known, inside = tokens.groups.unique(return_inverse=True)
        for power, name in ((1, "sum"), (2, "squares")):
            part = values.new_zeros(len(known), values.shape[1])
            part.index_add_(0, inside, values if power == 1 else values.square())
            self.tensors[name][:, columns].index_add_(0, known, part.double())
        width = values.shape[1] * self.slots
        product = values.new_zeros(len(known) * width)
        having = torch.zeros(width * self.width, dtype=torch.int64, device=values.device)
        for slot, token in _entries(slots.flatten(), tokens.labels):
            where = token * values.shape[1] + slot // self.slots
            product.index_add_(0, inside[token] * width + slot, values.flatten()[where])
            index = slot * self.width + places.flatten()[where]
            having.index_add_(0, index, torch.ones_like(index))
        own = self.tensors["product"][:, columns]
        own.index_add_(0, known, product.double().view(len(known), values.shape[1], self.slots))
        self.tensors["having"][columns] += having.view(-1, self.slots, self.width)

    def lacking(self, histogram: Histogram) -> Int64[Tensor, "units slots bins"]:
        """Histograms of the tokens without each label."""
        return histogram.counts()[:, None, :] - self.tensors["having"]

    def group_sums(self, labels: Int64[Tensor, "units first"]) -> GroupSums:
        """Sums of each group that has tokens, for pairs of a unit and the label of one of its first slots.

        Args:
            labels: Which of the counted labels those slots have; what stands for `NONE` means nothing.
        """
        tensors = self.tensors
        full, slots = tensors["tokens"] > 0, labels.shape[1]
        having = tensors["label"].double()[full][:, labels.clamp(min=0).flatten()]
        spread = lambda name: tensors[name][full].repeat_interleave(slots, 1)
        return GroupSums(
            tensors["tokens"][full].double(),
            spread("sum"),
            having,
            spread("squares"),
            having,  # a label is 0 or 1, and its own square
            tensors["product"][full][:, :, :slots].flatten(1),
        )


def _entries(
    slots: Int64[Tensor, " slots"], labels: Bool[Tensor, "tokens labels"]
) -> Iterator[tuple[Int64[Tensor, " entries"], Int64[Tensor, " entries"]]]:
    """Every slot with every token that has its label, some slots at a time."""
    sizes = labels.sum(0)
    tokens = labels.T.nonzero()[:, 1]
    starts = sizes.cumsum(0) - sizes
    filled = (slots != NONE).nonzero().squeeze(1)
    lengths = sizes[slots[filled]]
    for part in (lengths.cumsum(0) // _ENTRIES).unique_consecutive(return_counts=True)[1].tolist():
        chosen, own = filled[:part], lengths[:part]
        filled, lengths = filled[part:], lengths[part:]
        slot = chosen.repeat_interleave(own)
        first = (starts[slots[chosen]] - (own.cumsum(0) - own)).repeat_interleave(own)
        yield slot, tokens[first + torch.arange(len(slot), device=slot.device)]
