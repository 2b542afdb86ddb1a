"""What the first reading of the families analysis found: sums by label, and the labels that lead."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.scan import FamilyScan
from un_lightning.analyses.selection import Selection
from un_lightning.stats.best_labels import BestLabels, best_labels
from un_lightning.stats.eta_squared import eta_squared
from un_lightning.stats.followed_labels import NONE
from un_lightning.stats.label_sums import LabelSums, label_correlations
from un_lightning.stats.statistic import Statistic


_UNITS = 1024
"""Units whose sums by token are float64 at a time."""


class FamilyFindings:
    """What remains of the first reading once all ranks are merged: small enough to be kept by every rank."""

    def __init__(
        self, selection: Selection, labels: int, context: int, examples: int, slots: int, like: Tensor
    ) -> None:
        """Allocate what `fill` fills, or what is loaded.

        Args:
            selection: The neurons.
            labels: Number of all labels.
            context: Tokens of a block.
            examples: Largest activations of each neuron.
            slots: What the second reading looks at of each neuron.
            like: A tensor of the device and type of the activations.
        """
        scan = FamilyScan.make(selection, 0, context, 0, examples, like)
        self.post, self.pre, self.positions, self.top = scan.post, scan.pre, scan.positions, scan.top
        self.labels = LabelSums(labels, selection.count, like.device)
        number = torch.zeros(selection.count, dtype=torch.float64, device=like.device)
        chosen = torch.full((selection.count, slots), NONE, dtype=torch.int64, device=like.device)
        self.tokens = Statistic(
            {"eta2": number, "eta2_previous": number.clone(), "count": number[:1].long(), "leading": chosen}
        )

    def named(self) -> dict[str, Statistic]:
        """The statistics by name, as they are saved."""
        return dict(vars(self))

    @property
    def count(self) -> int:
        """Counted tokens."""
        return int(self.tokens.tensors["count"])

    @property
    def leading(self) -> Int64[Tensor, "units slots"]:
        """What the second reading looks at."""
        return self.tokens.tensors["leading"]

    def fill(
        self,
        scan: FamilyScan,
        selection: Selection,
        labels: LabelSet,
        ids: Int64[Tensor, " rows"],
        shift: Float[Tensor, " units"],
        counted: int,
    ) -> None:
        """Turn sums by token into sums by label.

        Args:
            scan: The first reading, merged.
            selection: The neurons.
            labels: All labels.
            ids: Token id of each row of the sums by token.
            shift: What was subtracted from the activations.
            counted: Counted tokens.
        """
        self.post, self.pre, self.positions, self.top = scan.post, scan.pre, scan.positions, scan.top
        self.tokens.tensors["count"].fill_(counted)
        matrix, own = labels.token.matrix[ids], labels.own
        weights = matrix.T.double()
        sums, counts = self.labels.tensors["sum"], self.labels.tensors["count"]
        shape = self.post.shape(shift)
        mean, variance = shape.mean - shift.double(), shape.var
        for first, part, name in ((0, scan.current, "eta2"), (own, scan.previous, "eta2_previous")):
            counts[first : first + own] = (matrix.long() * part.count[:, None]).sum(0)
            for index, columns in enumerate(selection.columns.values()):
                layer = part.tensors[f"sum{index:03d}"]
                for start in range(0, layer.shape[1], _UNITS):
                    some = layer[:, start : start + _UNITS].double()
                    units = slice(columns.start + start, columns.start + start + some.shape[1])
                    sums[first : first + own, units] = weights @ some
                    explained = _explained(some, part.count, counted, mean[units], variance[units])
                    self.tokens.tensors[name][units] = explained
        sums[2 * own :] = scan.context.sum
        counts[2 * own :] = scan.context.count

    def correlations(
        self, shift: Float[Tensor, " units"], min_count: int, units: slice
    ) -> Float64[Tensor, "labels some"]:
        """Correlation of every label with some units; NaN where a label or its absence is too rare.

        Args:
            shift: What was subtracted from the activations.
            min_count: Fewest tokens with the label, and without it.
            units: Which units.
        """
        shape = self.post.shape(shift)
        mean, variance = (shape.mean - shift.double())[units], shape.var[units]
        corr = label_correlations(self.labels.sum[:, units], self.labels.count, self.count, mean, variance)
        return torch.where(self.common(min_count)[:, None] & shape.valid[units], corr, torch.nan)

    def common(self, min_count: int) -> Bool[Tensor, " labels"]:
        """Labels that enough tokens have, and enough lack."""
        counts = self.labels.count
        return (counts >= min_count) & (self.count - counts >= min_count)

    def best(self, labels: LabelSet, shift: Float[Tensor, " units"], min_count: int) -> BestLabels:
        """The best label of each kind for each unit."""
        kinds, index = labels.kind_index()
        index = index.to(shift.device)
        parts = []
        for start in range(0, len(shift), _UNITS):
            corr = self.correlations(shift, min_count, slice(start, start + _UNITS))
            parts.append(best_labels(corr, index, len(kinds)))
        return BestLabels(*(torch.cat(column, 1) for column in zip(*parts, strict=True)))


def _explained(
    sums: Float64[Tensor, "rows units"],
    counts: Int64[Tensor, " rows"],
    counted: int,
    mean: Float64[Tensor, " units"],
    variance: Float64[Tensor, " units"],
) -> Float64[Tensor, " units"]:
    """η² by token; tokens that have none before them are a group of their own."""
    rest = mean * counted - sums.sum(0)
    count = counted - counts.sum()
    means = torch.cat([sums / counts[:, None], (rest / count)[None]])
    return eta_squared(means, torch.cat([counts, count[None]]), mean, variance)
