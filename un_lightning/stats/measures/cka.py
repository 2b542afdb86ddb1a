"""Linear centred kernel alignment of layers, ‖Σ_ab‖² / (‖Σ_a‖ ‖Σ_b‖) in Frobenius norms (method J.4).

Computed from covariances of units, which is the same number as from similarities of tokens
(Kornblith et al. 2019, section 3). It is biased upwards where tokens are not many more than units.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import ModelSums, PairSums, layer_covariance


def linear_cka(pair: PairSums) -> Float64[Tensor, "left_layers right_layers"]:
    """Similarity of every layer of one model with every layer of the other, in [0, 1].

    Invalid units are left out; a layer without a valid unit has NaN.
    """
    return cka_of(cross_norms(pair), norms(pair.left, pair.tokens), norms(pair.right, pair.tokens))


def cka_of(
    cross: Float64[Tensor, "left_layers right_layers"],
    left: Float64[Tensor, " left_layers"],
    right: Float64[Tensor, " right_layers"],
) -> Float64[Tensor, "left_layers right_layers"]:
    """The similarity from squared norms between layers and norms within them."""
    return (cross / torch.outer(left, right)).clamp(max=1)


def norms(model: ModelSums, count: int) -> Float64[Tensor, " layers"]:
    """Frobenius norm of each layer's covariance."""
    moments = model.moments
    return torch.stack(
        [
            layer_covariance(gram, count, moments.mean[units], moments.valid[units]).norm()
            for gram, units in zip(model.grams, model.layers, strict=True)
        ]
    )


def cross_norms(pair: PairSums) -> Float64[Tensor, "left_layers right_layers"]:
    """Squared Frobenius norm of the covariance of each pair of layers."""
    everything = slice(0, pair.product.shape[1])
    moments = pair.left.moments
    deviation = torch.where(moments.valid, moments.deviation, 0.0).to(pair.product.dtype)
    found = []
    for units in pair.left.layers:
        squares = torch.zeros(everything.stop, dtype=torch.float64, device=pair.product.device)
        for rows in pair.tiles(units):
            covariance = pair.covariance(rows, everything).mul_(deviation[rows, None])
            squares += covariance.square_().sum(0, dtype=torch.float64)
        found.append(torch.stack([squares[columns].sum() for columns in pair.right.layers]))
    return torch.stack(found)


register(
    Measure(
        name="cka",
        score=lambda pair: float(linear_cka(pair).nanmean()),
        symmetric=True,
        larger_is_more_similar=True,
        invariant_to=frozenset(
            {
                Transformation.permutation,
                Transformation.isotropic_scaling,
                Transformation.shift,
                Transformation.rotation,
            }
        ),
        source="Kornblith et al. 2019",
    )
)
