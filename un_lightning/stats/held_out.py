"""The largest of many correlations, freed of what the choice of the largest adds."""

import torch
from jaxtyping import Float
from torch import Tensor


class HeldOutMaximum:
    """Largest correlation of each unit with many random partners, from two halves of a sample.

    On one half the largest correlation M is too large, since the choice favours luck; what the same partner
    has on the other half, V, is too small, since the best partner is missed. Where a unit's correlations are
    spread as N(0, σ²) over the partners and measured with errors of variance τ² on a half,
    E M = z √(σ²+τ²) and E V = z σ²/√(σ²+τ²) for the same z, so s = V/M estimates σ²/(σ²+τ²).

    What is wanted is the largest correlation on the whole stream, which favours luck as well, only less: its
    errors have the variance τ²·f, where a half is the share f of the stream. So M √(s + f (1 - s)) is the
    estimate. For an endless stream that is √(M V), the largest correlation without errors; where the sample
    is the whole stream, f is a half. Either half takes either part; s is pooled over halves and draws.

    The root's error is about half of V's, τ/√8 for one draw. Other spreads than a normal one leave a bias of
    the order of τ²/σ². Of units without any correlation (V ≤ 0) only luck is left.
    """

    def __init__(
        self, draws: int, units: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.found = torch.full((draws, 2, units), -torch.inf, dtype=dtype, device=device)
        self.held_out = torch.zeros(draws, 2, units, dtype=dtype, device=device)

    def update(
        self,
        draw: int,
        rows: slice,
        halves: tuple[Float[Tensor, "part partners"], Float[Tensor, "part partners"]],
    ) -> None:
        """Add some rows' correlations with further partners, on both halves."""
        for half in range(2):
            found, where = halves[half].max(1)
            held_out = halves[1 - half].gather(1, where[:, None])[:, 0]
            better = found > self.found[draw, half, rows]
            self.found[draw, half, rows] = torch.where(better, found, self.found[draw, half, rows])
            self.held_out[draw, half, rows] = torch.where(better, held_out, self.held_out[draw, half, rows])

    def estimate(self, share: float) -> Float[Tensor, "draws units"]:
        """Largest correlation of each draw on the whole stream, at most 1.

        Args:
            share: Share of the stream's tokens that is one half of the sample.
        """
        found = self.found.mean(1).clamp(min=0)
        kept = (self.held_out.mean((0, 1)).clamp(min=0) / found.mean(0).clamp(min=1e-12)).clamp(max=1)
        return (found * (kept + share * (1 - kept)).sqrt()).clamp_(max=1)
