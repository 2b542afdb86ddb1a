"""The rotation baseline, after the pass and without the data (paper section 3; method B.2, B.8).

For a layer of the other model with activations v and a random matrix R,
Cov(a, R v) = Cov(a, v) Rᵀ and Var((R v)_k) = (R Σ Rᵀ)_kk, where Σ is the layer's covariance.
For units that are divided by their deviations σ first, R diag(1/σ) takes the place of R.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from un_lightning.config import Baseline
from un_lightning.stats.pair_sums import layer_covariance


def random_matrix(
    kind: Baseline, width: int, seed: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "width width"]:
    """A random matrix of one layer, the same for equal arguments on every device.

    Args:
        kind: `rotation` and `rotation_z` are Haar orthogonal; `gaussian_rows` has Gaussian rows of length
            one, as the reference scripts draw it, and is orthogonal only approximately.
        width: Units of the layer.
        seed: Seed of this draw.
        device: Where the matrix shall be.
        dtype: Its type.

    Raises:
        ValueError: The baseline is not one of random matrices.
    """
    if not kind.is_rotation:
        raise ValueError(f"there is no random matrix in the baseline '{kind}'")
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(width, width, generator=generator, dtype=torch.float64)
    if kind is Baseline.gaussian_rows:
        return torch.nn.functional.normalize(gaussian, dim=1).to(device, dtype)
    orthogonal, triangular = torch.linalg.qr(gaussian.to(device))
    # Without the signs of R's diagonal the result of QR is not distributed uniformly.
    return (orthogonal * triangular.diagonal().sign()).to(dtype)


class RotatedLayer:
    """One layer of the other model, seen through one random matrix.

    Invalid units take no part. With `standardise`, each unit is divided by its deviation before the units are
    mixed, so that no mixture is dominated by the units of the largest variance.
    """

    def __init__(
        self,
        matrix: Float[Tensor, "rotated units"],
        gram: Float[Tensor, "units units"],
        count: int,
        mean: Float64[Tensor, " units"],
        valid: Bool[Tensor, " units"],
        standardise: bool = False,
    ) -> None:
        covariance = layer_covariance(gram, count, mean, valid).to(matrix.dtype)
        if standardise:
            matrix = matrix * torch.where(valid, covariance.diagonal().rsqrt(), 0.0)
        variance = ((matrix @ covariance) * matrix).sum(1)
        self.matrix = matrix
        self.scale = torch.where(variance > 0, variance.rsqrt(), 0.0)

    def max_correlation(self, covariance: Float[Tensor, "rows units"]) -> Float[Tensor, " rows"]:
        """Largest correlation of each row unit with any rotated unit.

        Args:
            covariance: Cov(a, v) / σ_a with the layer's units.
        """
        return ((covariance @ self.matrix.T) * self.scale).amax(1)
