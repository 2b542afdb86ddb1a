"""The best partners of each unit among columns that arrive in pieces, and a bound for all others."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Candidates:
    """Each row's K largest correlations; of all others only the largest upper bound is kept."""

    def __init__(
        self, rows: int, k: int, critical: float, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """Begin with no partner.

        Args:
            rows: Row units.
            k: Partners kept.
            critical: Standard errors between an estimate and its upper bound.
            device: Where the correlations are.
            dtype: Their type.
        """
        self.k = k
        self.critical = critical
        self.estimate = torch.full((rows, k), -torch.inf, dtype=dtype, device=device)
        """Largest correlations, descending; -inf where there are fewer partners."""
        self.error = torch.zeros(rows, k, dtype=dtype, device=device)
        self.partner = torch.full((rows, k), -1, device=device)
        self.rest = torch.full((rows,), -torch.inf, dtype=dtype, device=device)
        """Largest upper bound of any partner that is not among the K."""

    def update(
        self,
        correlation: Float[Tensor, "part columns"],
        error: Float[Tensor, "part columns"],
        rows: slice,
        offset: int,
        valid: Bool[Tensor, " columns"],
    ) -> None:
        """Add correlations of some rows with the columns from `offset` on.

        Args:
            correlation: Estimates.
            error: Their standard errors.
            rows: Which rows they are.
            offset: Index of the first column.
            valid: Columns that count.
        """
        shown = correlation.masked_fill(~valid, -torch.inf)
        found, where = shown.topk(min(self.k, shown.shape[1]), dim=1)
        errors = error.gather(1, where)
        bound = shown.add_(error, alpha=self.critical).scatter_(1, where, -torch.inf)
        rest = torch.maximum(self.rest[rows], bound.amax(1))

        estimates = torch.cat([self.estimate[rows], found], dim=1)
        errors = torch.cat([self.error[rows], errors], dim=1)
        partners = torch.cat(
            [self.partner[rows], torch.where(found == -torch.inf, -1, where + offset)], dim=1
        )
        self.estimate[rows], order = estimates.topk(self.k, dim=1)
        self.error[rows] = errors.gather(1, order)
        self.partner[rows] = partners.gather(1, order)
        left_out = (estimates + self.critical * errors).scatter_(1, order, -torch.inf)
        self.rest[rows] = torch.maximum(rest, left_out.amax(1))
