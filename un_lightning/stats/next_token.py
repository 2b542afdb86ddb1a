"""Whether neurons fire before tokens of a kind: activations split by what the next token is (method F)."""

from statistics import NormalDist
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from un_lightning.stats.jackknife import standard_error
from un_lightning.stats.statistic import Statistic


class NextTokenContrast(NamedTuple):
    """Activations before tokens of a set against all others, a row a case; NaN where there are none."""

    tokens: Int64[Tensor, " cases"]
    """Tokens whose next token is known."""
    inside: Int64[Tensor, " cases"]
    """Those whose next token is in the set."""
    mean_inside: Float64[Tensor, " cases"]
    mean_outside: Float64[Tensor, " cases"]
    difference: Float64[Tensor, " cases"]
    """Difference of the means in units of the pooled standard deviation (Cohen's d)."""
    low: Float64[Tensor, " cases"]
    """Ends of the interval of `difference`."""
    high: Float64[Tensor, " cases"]
    auroc: Float64[Tensor, " cases"]
    """Chance that the activation is larger before a token of the set than before another."""
    auroc_error: Float64[Tensor, " cases"]
    """Half of the comparisons that fall into the same bin: what `auroc` can be wrong by."""


class NextTokenSums(Statistic):
    """Sums and histograms of some neurons' activations, by whether the next token is in a set.

    A case is a neuron and a set of tokens. Sums are kept for each group of blocks, so that intervals know
    that tokens of one document are no independent observations.
    """

    def __init__(
        self,
        groups: int,
        owner: Int64[Tensor, " cases"],
        low: Float[Tensor, " neurons"],
        high: Float[Tensor, " neurons"],
        bins: int,
    ) -> None:
        """Allocate.

        Args:
            groups: Groups of blocks.
            owner: Neuron of each case.
            low: Lower end of each neuron's histogram; what lies outside has a bin at either end.
            high: Upper end, above `low`.
            bins: Bins between them.
        """
        device, cases, neurons = low.device, len(owner), len(low)
        wide = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)
        count = lambda *shape: torch.zeros(*shape, dtype=torch.int64, device=device)
        super().__init__(
            {
                "tokens": count(groups),
                "sum": wide(groups, neurons),
                "squares": wide(groups, neurons),
                "inside": count(groups, cases),
                "inside_sum": wide(groups, cases),
                "inside_squares": wide(groups, cases),
                "histogram": count(neurons, bins + 2),
                "inside_histogram": count(cases, bins + 2),
            }
        )
        self.owner, self.low, self.width = owner, low, bins + 2
        self.scale = bins / (high - low)

    def add(
        self,
        group: Int[Tensor, " tokens"],
        values: Float[Tensor, "tokens neurons"],
        inside: Bool[Tensor, "tokens cases"],
    ) -> None:
        """Add tokens whose next token is known.

        Args:
            group: Group of each token's block.
            values: Activations at the tokens; they are summed less the middle of their range.
            inside: Whether the next token is in the set of each case.
        """
        tensors = self.tensors
        groups = len(tensors["tokens"])
        tensors["tokens"] += torch.bincount(group, minlength=groups)
        member = torch.nn.functional.one_hot(group, groups).T.to(values.dtype)  # [groups, tokens]
        centred = values - self.shift.to(values.dtype)
        tensors["sum"] += member @ centred
        tensors["squares"] += member @ centred.square()
        own = inside.to(values.dtype)
        tensors["inside"] += (member @ own).round().long()
        own *= centred[:, self.owner]
        tensors["inside_sum"] += member @ own
        tensors["inside_squares"] += member @ own.square_()
        place = ((values - self.low) * self.scale + 1).nan_to_num_(nan=0.0).clamp_(0, self.width - 1).long()
        _count(tensors["histogram"], place, torch.arange(len(self.low), device=place.device))
        token, case = inside.nonzero(as_tuple=True)
        _count(tensors["inside_histogram"], place[token, self.owner[case]], case)

    @property
    def shift(self) -> Float[Tensor, " neurons"]:
        """Middle of each neuron's range."""
        return self.low + (self.width - 2) / self.scale / 2

    def contrast(self, confidence: float) -> NextTokenContrast:
        """Compare, for every case, the tokens before its set with all others.

        Args:
            confidence: Level of the intervals.
        """
        sums = self.tensors
        groups = sums["tokens"] > 0
        tokens = sums["tokens"][groups].double()
        parts = [sums["inside"][groups].double(), sums["inside_sum"][groups], sums["inside_squares"][groups]]
        wholes = [
            tokens[:, None].expand_as(parts[0]),
            sums["sum"][groups][:, self.owner],
            sums["squares"][groups][:, self.owner],
        ]
        everything = [
            torch.stack([part.sum(0), whole.sum(0)]) for part, whole in zip(parts, wholes, strict=True)
        ]
        difference, means = _difference(*everything)
        without = [
            torch.stack([part.sum(0) - part, whole.sum(0) - whole], dim=0)
            for part, whole in zip(parts, wholes, strict=True)
        ]
        left_out = _difference(*without)[0]
        error = standard_error(difference, left_out, tokens)
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
        shift = self.shift.double()[self.owner]
        broken = ~torch.isfinite(everything[2][1])  # a histogram would count what is no number, too
        auroc, unresolved = (value.masked_fill(broken, torch.nan) for value in self._auroc())
        return NextTokenContrast(
            everything[0][1].long(),
            everything[0][0].long(),
            means[0] + shift,
            means[1] + shift,
            difference,
            difference - reach,
            difference + reach,
            auroc,
            unresolved,
        )

    def _auroc(self) -> tuple[Float64[Tensor, " cases"], Float64[Tensor, " cases"]]:
        inside = self.tensors["inside_histogram"].double()
        outside = self.tensors["histogram"][self.owner].double() - inside
        below = outside.cumsum(1) - outside
        comparisons = inside.sum(1) * outside.sum(1)
        ties = (inside * outside).sum(1) / 2
        return ((inside * below).sum(1) + ties) / comparisons, ties / comparisons


def _difference(
    count: Float64[Tensor, "two ..."],
    total: Float64[Tensor, "two ..."],
    squares: Float64[Tensor, "two ..."],
) -> tuple[Float64[Tensor, "..."], list[Float64[Tensor, "..."]]]:
    """Cohen's d and both means, from sums over a part and over the whole."""
    counts = [count[0], count[1] - count[0]]
    sums = [total[0], total[1] - total[0]]
    means = [own / size for own, size in zip(sums, counts, strict=True)]
    scatter = squares[1] - sum(own * mean for own, mean in zip(sums, means, strict=True))
    deviation = (scatter / (count[1] - 2)).clamp(min=0).sqrt()
    return (means[0] - means[1]) / deviation, means


def _count(
    counts: Int64[Tensor, "rows bins"], place: Int64[Tensor, "..."], row: Int64[Tensor, "..."]
) -> None:
    """Add one to a bin of a row for every place."""
    flat = place + row * counts.shape[1]
    counts += torch.bincount(flat.flatten(), minlength=counts.numel()).view_as(counts)
