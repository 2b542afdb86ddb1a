"""How three numbers a token go together: activation, change of attention, change of the output's length."""

from statistics import NormalDist
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from un_lightning.stats.jackknife import standard_error
from un_lightning.stats.statistic import Statistic


QUANTITIES = ("activation", "bos_change", "norm_change")
"""A neuron's activation; attention to BOS with the path less without it; the same of the output's length, as
a share of it."""
RELATIONS = ((0, 1), (1, 2), (0, 2))
"""Which of them are correlated."""


class Relation(NamedTuple):
    """Two quantities of every pair; NaN where one of them is constant."""

    correlation: Float64[Tensor, " pairs"]
    low: Float64[Tensor, " pairs"]
    high: Float64[Tensor, " pairs"]
    slope: Float64[Tensor, " pairs"]
    """Of the second quantity on the first."""


class PathSums(Statistic):
    """Counts, sums and products of the three quantities of every pair, for each group of blocks."""

    def __init__(self, groups: int, pairs: int, device: torch.device) -> None:
        wide = lambda *shape: torch.zeros(groups, pairs, *shape, dtype=torch.float64, device=device)
        super().__init__(
            {"count": wide(), "sum": wide(3), "product": wide(3, 3), "bos": wide(), "norm": wide()}
        )

    def add(
        self,
        pair: int,
        group: Int[Tensor, " tokens"],
        values: Float[Tensor, "tokens three"],
        bos: Float[Tensor, " tokens"],
        norm: Float[Tensor, " tokens"],
    ) -> None:
        """Add tokens of one pair.

        Args:
            pair: Its index.
            group: Group of each token's block.
            values: The columns of `QUANTITIES`.
            bos: Attention to BOS with nothing cut.
            norm: Length of the head's output with nothing cut.
        """
        wide = values.double()
        sums = self.tensors
        sums["count"][:, pair].index_add_(0, group, torch.ones_like(wide[:, 0]))
        sums["sum"][:, pair].index_add_(0, group, wide)
        sums["product"][:, pair].index_add_(0, group, wide[:, :, None] * wide[:, None])
        sums["bos"][:, pair].index_add_(0, group, bos.double())
        sums["norm"][:, pair].index_add_(0, group, norm.double())

    @property
    def count(self) -> Float64[Tensor, " pairs"]:
        """Tokens of each pair."""
        return self.tensors["count"].sum(0)

    def mean(self, name: str) -> Float64[Tensor, "pairs ..."]:
        """Mean of `sum` (the three quantities), `bos` or `norm`."""
        total = self.tensors[name].sum(0)
        return total / (self.count if total.ndim == 1 else self.count[:, None])

    def relation(self, first: int, second: int, confidence: float) -> Relation:
        """Correlation of two quantities, with an interval from leaving out one group at a time."""
        groups = self.tensors["count"].sum(1) > 0
        parts = [self.tensors[name][groups] for name in ("count", "sum", "product")]
        whole = [part.sum(0, keepdim=True) for part in parts]
        correlation, slope = _correlate(whole[0], whole[1], whole[2], first, second)
        rest = [total - part for total, part in zip(whole, parts, strict=True)]
        without, _ = _correlate(rest[0], rest[1], rest[2], first, second)
        # On Fisher's scale, where the error depends least on the correlation.
        centre = correlation[0].atanh()
        error = standard_error(centre, without.atanh(), parts[0].sum(1))
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
        return Relation(correlation[0], (centre - reach).tanh(), (centre + reach).tanh(), slope[0])


class ScreenSums(Statistic):
    """How removing each neuron of a layer changes a head's attention to BOS, and its activation with that."""

    NAMES = ("activation", "activation_squares", "change", "change_squares", "absolute", "product")

    def __init__(self, neurons: int, device: torch.device) -> None:
        zeros = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)
        super().__init__({name: zeros(neurons) for name in self.NAMES} | {"count": zeros(1)})

    def add(
        self, activation: Float[Tensor, "tokens neurons"], change: Float[Tensor, "tokens neurons"]
    ) -> None:
        """Add destinations: activations, and attention to BOS with each neuron less without it."""
        one, two = activation.double(), change.double()
        values = (one, one.square(), two, two.square(), two.abs(), one * two)
        for name, value in zip(self.NAMES, values, strict=True):
            self.tensors[name] += value.sum(0)
        self.tensors["count"] += len(one)

    def summary(self) -> dict[str, Float64[Tensor, " neurons"]]:
        """Mean and mean absolute change, and its correlation with and slope on the activation."""
        mean = {name: self.tensors[name] / self.tensors["count"] for name in self.NAMES}
        covariance = mean["product"] - mean["activation"] * mean["change"]
        first = mean["activation_squares"] - mean["activation"].square()
        second = mean["change_squares"] - mean["change"].square()
        return {
            "mean_activation": mean["activation"],
            "bos_change": mean["change"],
            "bos_change_absolute": mean["absolute"],
            "correlation": covariance / (first.clamp(min=0) * second.clamp(min=0)).sqrt(),
            "slope": covariance / first.clamp(min=0),
        }


def _correlate(
    count: Float64[Tensor, "parts pairs"],
    total: Float64[Tensor, "parts pairs three"],
    product: Float64[Tensor, "parts pairs three three"],
    first: int,
    second: int,
) -> tuple[Float64[Tensor, "parts pairs"], Float64[Tensor, "parts pairs"]]:
    """Pearson correlation, and slope of the second quantity on the first."""
    covariance = lambda i, j: product[..., i, j] / count - total[..., i] * total[..., j] / count.square()
    both, one, two = covariance(first, second), covariance(first, first), covariance(second, second)
    return both / (one.clamp(min=0) * two.clamp(min=0)).sqrt(), both / one.clamp(min=0)
