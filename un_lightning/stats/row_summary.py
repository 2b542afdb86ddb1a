"""What is kept of each unit's row of correlations (method B.4)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class RowSummary:
    """Extremes, moments and histogram of rows whose columns arrive in pieces.

    Columns of invalid units are left out of everything. `update` fills the attributes.
    """

    def __init__(
        self, rows: int, top_k: int, bins: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.top_k = top_k
        self.bins = bins
        self.best = torch.full((rows, top_k), -torch.inf, dtype=dtype, device=device)
        """Largest correlations, descending; -inf where there are fewer partners."""
        self.worst = torch.full((rows, top_k), -torch.inf, dtype=dtype, device=device)
        """Negatives of the smallest correlations, descending."""
        self.best_index = torch.full((rows, top_k), -1, device=device)
        self.worst_index = torch.full((rows, top_k), -1, device=device)
        self.powers = torch.zeros(4, rows, dtype=torch.float64, device=device)
        self.histogram = torch.zeros(rows, bins, dtype=torch.int64, device=device)
        """Counts over equal bins of [-1, 1], closed on the left, the last one on both sides."""

    def named(self) -> dict[str, Tensor]:
        """Everything that `update` fills, by name."""
        names = ("best", "worst", "best_index", "worst_index", "powers", "histogram")
        return {name: getattr(self, name) for name in names}

    def update(
        self,
        values: Float[Tensor, "part columns"],
        rows: slice,
        offset: int,
        valid: Bool[Tensor, " columns"] | Bool[Tensor, "part columns"],
    ) -> None:
        """Add correlations of some rows with the columns from `offset` on.

        Args:
            values: Correlations; those that do not count are zero.
            rows: Which rows they are.
            offset: Index of the first column.
            valid: Columns that count, for all rows or for each.
        """
        everything = bool(valid.all())
        shown = values if everything else values.masked_fill(~valid, -torch.inf)
        hidden = values if everything else values.masked_fill(~valid, torch.inf)
        self._extremes(self.best, self.best_index, shown, rows, offset)
        self._extremes(self.worst, self.worst_index, -hidden, rows, offset)
        power = values.double()
        for exponent in range(4):
            self.powers[exponent, rows] += power.sum(1)
            power = power * values
        bin_index = ((values + 1) * (self.bins / 2)).long().clamp_(max=self.bins - 1)
        bin_index = bin_index if everything else bin_index.masked_fill(~valid, self.bins)
        width = self.bins + 1  # the last bin collects what is invalid
        flat = bin_index + torch.arange(len(values), device=values.device)[:, None] * width
        counts = torch.bincount(flat.flatten(), minlength=len(values) * width).view(-1, width)
        self.histogram[rows] += counts[:, :-1]

    def moments(self, partners: int) -> dict[str, Float[Tensor, " rows"]]:
        """Mean, population variance, skew E[z³] and kurtosis E[z⁴] of each row over its valid columns."""
        one, two, three, four = self.powers / max(partners, 1)
        variance = (two - one**2).clamp(min=0)
        third = three - 3 * one * two + 2 * one**3
        fourth = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
        return {"mean": one, "var": variance, "skew": third / variance**1.5, "kurt": fourth / variance**2}

    def _extremes(
        self,
        best: Float[Tensor, "rows k"],
        index: Int[Tensor, "rows k"],
        values: Float[Tensor, "part columns"],
        rows: slice,
        offset: int,
    ) -> None:
        found, where = values.topk(min(self.top_k, values.shape[1]), dim=1)
        where = torch.where(found == -torch.inf, -1, where + offset)
        both = torch.cat([best[rows], found.to(best.dtype)], dim=1)
        indices = torch.cat([index[rows], where], dim=1)
        best[rows], order = both.topk(self.top_k, dim=1)
        index[rows] = indices.gather(1, order)
