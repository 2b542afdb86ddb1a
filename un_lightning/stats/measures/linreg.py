"""How much of a unit's variance a linear map of the other model's units explains (method J.4, LinReg).

R² = cᵀ (Σ + λ1)⁻¹ c / σ², where Σ is the covariance of the predicting units, c their covariance with the
unit and λ a small share of Σ's mean diagonal. With λ = 0 this is the R² of least squares; λ keeps it below.
Units with a high R² and no good single partner share information with the other model, but not a basis.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import PairSums, layer_covariance


DEFAULT_RIDGE = 1e-4


class LinearFit(NamedTuple):
    """R² of every row unit."""

    r2: Float64[Tensor, "left predictors"]
    """In [0, 1], for each layer of the other model; NaN for invalid units and layers without a valid one."""
    ridge: float
    """The largest λ that was needed, as a share of the mean variance."""

    def best(self) -> tuple[Float64[Tensor, " left"], Float[Tensor, " left"]]:
        """R² from the layer that explains most, and that layer (NaN where there is none)."""
        largest, layer = self.r2.nan_to_num(-torch.inf).max(1)
        found = largest > -torch.inf
        return torch.where(found, largest, torch.nan), torch.where(found, layer.double(), torch.nan)


def explained_by_layers(pair: PairSums, ridge: float = DEFAULT_RIDGE) -> LinearFit:
    """Predict each row unit from the units of one layer of the other model, for each of its layers.

    Args:
        pair: Sums with the column model's within-layer products.
        ridge: λ as a share of the mean variance of the predicting units.
    """
    fits = [
        _explained(pair, columns, gram, ridge)
        for columns, gram in zip(pair.right.layers, pair.right.grams, strict=True)
    ]
    return LinearFit(torch.stack([fit for fit, _ in fits], dim=1), max(used for _, used in fits))


def explained_by_all(pair: PairSums, ridge: float = DEFAULT_RIDGE) -> LinearFit:
    """Predict each row unit from all units of the other model together.

    Args:
        pair: Sums with the column model's full matrix of products.
        ridge: λ as a share of the mean variance of the predicting units.

    Raises:
        ValueError: The full matrix of products was not added up.
    """
    if pair.right.full_gram is None:
        raise ValueError("R² from all layers needs the products of all pairs of units of the other model")
    fit, used = _explained(pair, slice(0, pair.product.shape[1]), pair.right.full_gram, ridge)
    return LinearFit(fit[:, None], used)


def _explained(
    pair: PairSums, columns: slice, gram: Float[Tensor, "units units"], ridge: float
) -> tuple[Float64[Tensor, " left"], float]:
    own, moments = pair.left.moments.valid, pair.right.moments
    valid = moments.valid[columns]
    r2 = torch.full((len(own),), torch.nan, dtype=torch.float64, device=gram.device)
    if not valid.any():
        return r2, ridge
    covariance = layer_covariance(gram, pair.tokens, moments.mean[columns], valid)
    factor, used = _factor(covariance, valid, ridge)
    for rows in pair.tiles():
        cross = pair.covariance(rows, columns).double()
        solved = torch.linalg.solve_triangular(factor, cross.T, upper=False)
        r2[rows] = solved.square_().sum(0).clamp_(max=1)
    return r2.masked_fill_(~own, torch.nan), used


def _factor(
    covariance: Float64[Tensor, "units units"], valid: Bool[Tensor, " units"], ridge: float
) -> tuple[Float64[Tensor, "units units"], float]:
    """Cholesky factor of Σ + λ1, with λ raised tenfold until rounding leaves it positive definite."""
    diagonal = covariance.diagonal()
    mean_variance = diagonal.sum() / valid.sum()
    plain = diagonal.clone()
    while True:
        diagonal.copy_(plain + ridge * mean_variance)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if not failed:
            return factor, ridge
        ridge *= 10


register(
    Measure(
        name="linreg",
        score=lambda pair: float(explained_by_layers(pair).best()[0].nanmean()),
        symmetric=False,
        larger_is_more_similar=True,
        invariant_to=frozenset(
            {Transformation.permutation, Transformation.isotropic_scaling, Transformation.shift}
        ),
        left_invariant_to=frozenset({Transformation.scaling}),
        # λ is a share of the mean variance, which rotations keep and factors for each unit do not.
        right_invariant_to=frozenset({Transformation.rotation}),
        source="Bau et al. 2019",
    )
)
