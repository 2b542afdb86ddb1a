"""Sums of every unit over the tokens that have a label, and the correlations that follow (method E.1)."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class LabelSums(Statistic):
    """Σv over the tokens with each label, of shifted activations, and how many tokens have it.

    A batch is multiplied in the type of the values, batches add up in float64.
    """

    def __init__(self, labels: int, units: int, device: torch.device) -> None:
        """Allocate.

        Args:
            labels: Number of labels.
            units: Number of units.
            device: Where the sums are.
        """
        super().__init__(
            {
                "sum": torch.zeros(labels, units, dtype=torch.float64, device=device),
                "count": torch.zeros(labels, dtype=torch.int64, device=device),
            }
        )

    @property
    def sum(self) -> Float64[Tensor, "labels units"]:
        """Sum of each unit over the tokens with each label."""
        return self.tensors["sum"]

    @property
    def count(self) -> Int64[Tensor, " labels"]:
        """Tokens with each label."""
        return self.tensors["count"]

    def add_labels(self, labels: Bool[Tensor, "tokens labels"]) -> None:
        """Count tokens, once for all layers."""
        self.tensors["count"] += labels.sum(0)

    def add(
        self, columns: slice, labels: Float[Tensor, "labels tokens"], values: Float[Tensor, "tokens units"]
    ) -> None:
        """Add a batch for some units: one product for all labels.

        Args:
            columns: Which units.
            labels: 1 where a token has a label, 0 elsewhere.
            values: Values less the shift.
        """
        self.tensors["sum"][:, columns] += labels @ values


def label_correlations(
    sums: Float64[Tensor, "labels units"],
    counts: Int64[Tensor, " labels"],
    tokens: int,
    mean: Float64[Tensor, " units"],
    variance: Float64[Tensor, " units"],
) -> Float64[Tensor, "labels units"]:
    """Pearson correlation r of every label with every unit.

    Its square is the paper's reduction in variance (eq. 4), 1 - [(1-β) σ²(v|y=0) + β σ²(v|y=1)] / σ²(v) with
    population variances: what is left of the variance within the two groups is 1 less the share between them,
    β(1-β)(μ₁-μ₀)²/σ². The sign says whether the label raises or lowers the unit.

    Args:
        sums: Sum of each unit over the tokens with each label.
        counts: Tokens with each label.
        tokens: All tokens.
        mean: Mean of each unit over all tokens, of the values that were summed.
        variance: Population variance over all tokens.

    Returns:
        NaN for labels that all tokens have or none, and for units without variance.
    """
    share = counts.double() / tokens
    covariance = sums / tokens - share[:, None] * mean
    scale = (share * (1 - share))[:, None] * variance
    return torch.where(scale > 0, covariance / scale.sqrt(), torch.nan).clamp(-1, 1)
