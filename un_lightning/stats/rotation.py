"""The rotation baseline, after the pass and without the data (paper section 3; method B.2, B.8).

For a layer of the other model with activations v and a random matrix R,
Cov(a, R v) = Cov(a, v) Rᵀ and Var((R v)_k) = (R Σ Rᵀ)_kk, where Σ is the layer's covariance.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from un_lightning.config import Baseline


def random_matrix(
    kind: Baseline, width: int, seed: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "width width"]:
    """A random matrix of one layer, the same for equal arguments on every device.

    Args:
        kind: `rotation` is Haar orthogonal; `gaussian_rows` has Gaussian rows of length one, as the
            reference scripts draw it, and is orthogonal only approximately.
        width: Units of the layer.
        seed: Seed of this draw.
        device: Where the matrix shall be.
        dtype: Its type.
    """
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(width, width, generator=generator, dtype=torch.float64)
    if kind is Baseline.gaussian_rows:
        return torch.nn.functional.normalize(gaussian, dim=1).to(device, dtype)
    orthogonal, triangular = torch.linalg.qr(gaussian.to(device))
    # Without the signs of R's diagonal the result of QR is not distributed uniformly.
    return (orthogonal * triangular.diagonal().sign()).to(dtype)


class RotatedLayer:
    """One layer of the other model, seen through one random matrix."""

    def __init__(
        self,
        matrix: Float[Tensor, "rotated units"],
        gram: Float[Tensor, "units units"],
        count: int,
        mean: Float64[Tensor, " units"],
        valid: Bool[Tensor, " units"],
    ) -> None:
        keep = valid[:, None] & valid[None, :]
        centre = torch.where(valid, mean, 0.0)
        covariance = torch.where(keep, gram.double() / count, 0.0) - torch.outer(centre, centre)
        covariance = torch.where(keep, covariance, 0.0).to(matrix.dtype)
        variance = ((matrix @ covariance) * matrix).sum(1)
        self.matrix = matrix
        self.scale = torch.where(variance > 0, variance.rsqrt(), 0.0)

    def max_correlation(self, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, " rows"]:
        """Largest correlation of each row unit with any rotated unit.

        Args:
            covariance: Cov(a, v) / σ_a with the layer's units.
        """
        return ((covariance @ self.matrix.T) * self.scale).amax(1)
