"""Cosines of a few directions with very many, summarised without ever holding all of them."""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from un_lightning.stats.row_summary import RowSummary


Moments = dict[str, Float64[Tensor, " rows"]]
"""`mean`, `var`, `skew` and `kurt`: population moments, the kurtosis of a normal distribution being 3."""


def unit_rows(
    directions: Float[Tensor, "rows width"],
) -> tuple[Float[Tensor, "rows width"], Bool[Tensor, " rows"]]:
    """Scale rows to length one; a row without a direction (zero, or not finite) becomes zero.

    Returns:
        The unit vectors, and which rows have a direction.
    """
    length = torch.linalg.vector_norm(directions, dim=1)
    valid = torch.isfinite(length) & (length > 0)
    return torch.where(valid[:, None], directions / length[:, None], 0.0), valid


class CosineSummary:
    """Extremes, moments and histogram of every row's cosines with columns that arrive in pieces."""

    def __init__(
        self,
        rows: Float[Tensor, "rows width"],
        top_k: int,
        bins: int,
        tile: int,
        weights: Float64[Tensor, " columns"] | None = None,
    ) -> None:
        """Begin.

        Args:
            rows: Directions of any length.
            top_k: Largest and smallest cosines kept.
            bins: Bins of the histogram over [-1, 1].
            tile: Columns whose cosines exist at a time.
            weights: Weight of each column in a second set of moments; None for no second set.
        """
        self.rows, self.valid = unit_rows(rows)
        self.summary = RowSummary(len(rows), top_k, bins, rows.device, rows.dtype)
        self.tile = tile
        self.weights = weights
        self.powers = torch.zeros(5, len(rows), dtype=torch.float64, device=rows.device)
        self.partners = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        self.seen = 0

    def update(
        self,
        columns: Float[Tensor, "columns width"],
        valid: Bool[Tensor, " columns"] | None = None,
        own: bool = False,
    ) -> None:
        """Add columns.

        Args:
            columns: Directions of any length.
            valid: Columns that count; those without a direction never do.
            own: Column i belongs to the same neuron as row i, and is left out of that row.
        """
        unit, counts = unit_rows(columns)
        counts = counts if valid is None else counts & valid
        everything = slice(0, len(self.rows))
        for start in range(0, len(unit), self.tile):
            part = slice(start, start + self.tile)
            cosines = self.rows @ unit[part].T
            keep = counts[part]
            if own:
                keep = keep.repeat(len(cosines), 1)
                rows = torch.arange(start, start + keep.shape[1], device=keep.device)
                keep[rows, rows - start] = False
                self.partners += keep.sum(1)
            else:
                self.partners += keep.sum()
            cosines = cosines.masked_fill_(~keep, 0.0)
            self.summary.update(cosines, everything, self.seen + start, keep)
            if self.weights is not None:
                self._weigh(cosines, keep, self.weights[self.seen + start :][: cosines.shape[1]])
        self.seen += len(unit)

    def moments(self) -> Moments:
        """Moments over the columns that counted; NaN for rows without a direction."""
        powers = torch.cat([torch.ones_like(self.powers[:1]), self.summary.powers / self.partners])
        return self._hide(central(powers))

    def weighted_moments(self) -> Moments:
        """Moments with every column at its weight; NaN where no column has any."""
        return self._hide(central(self.powers))

    def _hide(self, moments: Moments) -> Moments:
        return {name: value.masked_fill(~self.valid, torch.nan) for name, value in moments.items()}

    def _weigh(
        self, cosines: Float[Tensor, "rows part"], keep: Tensor, weights: Float64[Tensor, " part"]
    ) -> None:
        counted = weights * keep if keep.ndim == 1 else weights
        power = torch.ones_like(cosines, dtype=torch.float64)
        for exponent in range(5):
            self.powers[exponent] += power @ counted
            power = power * cosines


def central(powers: Float64[Tensor, "five rows"]) -> Moments:
    """Moments from Σw, Σwx, …, Σwx⁴."""
    one, two, three, four = powers[1:] / powers[0]
    variance = (two - one**2).clamp(min=0)
    third = three - 3 * one * two + 2 * one**3
    fourth = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
    return {"mean": one, "var": variance, "skew": third / variance**1.5, "kurt": fourth / variance**2}
