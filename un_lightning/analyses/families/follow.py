"""The second reading of the text: the leading labels of every neuron, and the roles of its unigram."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.model import Take
from un_lightning.analyses.families.word_role import ROLES
from un_lightning.stats.best_labels import BestLabels
from un_lightning.stats.followed_labels import NONE, FollowedLabels, LabelledTokens
from un_lightning.stats.histogram import Histogram
from un_lightning.stats.statistic import Statistic


UNIGRAM = "unigram"


def follow_slots(
    best: BestLabels, labels: LabelSet, leading: int, split: float
) -> Int64[Tensor, "units slots"]:
    """What the second reading looks at: leading labels, then the best unigram in each role of a word.

    Role r of label l has the number (r + 1) · labels + l.

    Args:
        best: Best label of each kind.
        labels: All labels.
        leading: Labels of each neuron, the best of their kinds.
        split: Reduction in variance from which on a neuron's unigram is split by roles.
    """
    kinds, _ = labels.kind_index()
    slots = best.leading(leading)
    roles = torch.full((len(slots), len(ROLES)), NONE, dtype=torch.int64, device=slots.device)
    if UNIGRAM in kinds:
        kind = kinds.index(UNIGRAM)
        chosen = best.corr[kind].square() > split
        for role in range(len(ROLES)):
            roles[:, role] = torch.where(chosen, best.label[kind] + (role + 1) * labels.count, NONE)
    return torch.cat([slots, roles], 1)


class FamilyFollow:
    """What the second reading adds up for one model."""

    def __init__(
        self, pilot: Mapping[str, Tensor], labels: int, leading: int, bins: int, groups: int
    ) -> None:
        """Allocate.

        Args:
            pilot: Ranges `low` and `high` of the pre-activations.
            labels: Number of all labels.
            leading: Labels of each neuron.
            bins: Bins of the histograms.
            groups: Groups of blocks.
        """
        low, slots = pilot["low"], leading + len(ROLES)
        self.histogram = Histogram(low, pilot["high"], bins)
        self.followed = FollowedLabels(len(low), slots, bins, groups, labels, low.device)
        self.labels = labels
        self.slots: Tensor | None = None

    def named(self) -> dict[str, Statistic]:
        """The statistics by name, as they are merged and saved."""
        return {"histogram": self.histogram, "followed": self.followed}

    def open(
        self,
        slots: Int64[Tensor, "units slots"],
        labels: Bool[Tensor, "tokens labels"],
        roles: Int64[Tensor, " tokens"],
        groups: Int[Tensor, " tokens"],
    ) -> None:
        """Begin a batch.

        Args:
            slots: Numbers of labels that each neuron's slots have.
            labels: All labels of the counted tokens.
            roles: What part of a word each is.
            groups: Group of each.
        """
        if self.slots is None:  # the columns of those labels that any slot has, in their order
            self.known = slots[slots != NONE].unique()
            self.slots = torch.where(slots == NONE, NONE, torch.searchsorted(self.known, slots))
        label, role = self.known % self.labels, self.known // self.labels - 1
        having = labels[:, label]
        having &= (role < 0) | (roles[:, None] == role)
        self.tokens = LabelledTokens(having, groups)
        self.followed.add_tokens(labels, groups)

    def sinks(self, shift: Float[Tensor, " units"]) -> tuple[Take, Take]:
        """What takes a layer's pre-activations, and then its activations."""
        slots, places = self.slots, torch.empty(0)
        assert slots is not None

        def pre(_index: int, columns: slice, values: Float[Tensor, "tokens units"]) -> None:
            nonlocal places
            places = self.histogram.add(0, columns, values)

        def post(_index: int, columns: slice, values: Float[Tensor, "tokens units"]) -> None:
            values -= shift[columns]
            self.followed.add(columns, slots[columns], self.tokens, values, places)

        return pre, post
