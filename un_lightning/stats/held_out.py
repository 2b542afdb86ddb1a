"""The largest of many correlations, freed of what the choice of the largest adds."""

import torch
from jaxtyping import Float
from torch import Tensor


class HeldOutMaximum:
    """Largest correlation of each unit with many random partners, from two halves of a sample.

    On one half the largest correlation M is too large, since the choice favours luck; what the same partner
    has on the other half, V, is too small, since the best partner is missed. Where a unit's correlations are
    spread as N(0, σ²) over the partners and measured with errors of variance τ², E M = z √(σ²+τ²) and
    E V = z σ²/√(σ²+τ²) for the same z, so √(M V) estimates z σ, the largest correlation without errors.
    Either half takes either part; V / M is pooled over halves and draws before the root.

    The root's error is about half of V's, τ/√8 for one draw. Other spreads than a normal one leave a bias of
    the order of τ²/σ². Units without any correlation (V ≤ 0) get 0.
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

    def estimate(self) -> Float[Tensor, "draws units"]:
        """M √(V/M) of each draw, at most 1."""
        found = self.found.mean(1).clamp(min=0)
        shrink = self.held_out.mean((0, 1)).clamp(min=0) / found.mean(0).clamp(min=1e-12)
        return (found * shrink.sqrt()).clamp_(max=1)
