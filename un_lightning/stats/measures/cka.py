"""Linear centred kernel alignment of layers, ‖Σ_ab‖² / (‖Σ_a‖ ‖Σ_b‖) in Frobenius norms (method J.4).

Computed from covariances of units, which is the same number as from similarities of tokens
(Kornblith et al. 2019, section 3). It is biased upwards where tokens are not many more than units.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import ModelSums, PairSums, layer_covariance


def linear_cka(pair: PairSums) -> Float64[Tensor, "left_layers right_layers"]:
    """Similarity of every layer of one model with every layer of the other, in [0, 1].

    Invalid units are left out; a layer without a valid unit has NaN.
    """
    own = [torch.stack(_norms(model, pair.tokens)) for model in (pair.left, pair.right)]
    return (_cross_norms(pair) / torch.outer(*own)).clamp_(max=1)


def _norms(model: ModelSums, count: int) -> list[Float[Tensor, ""]]:
    """Frobenius norm of each layer's covariance."""
    moments = model.moments
    return [
        layer_covariance(gram, count, moments.mean[units], moments.valid[units]).norm()
        for gram, units in zip(model.grams, model.layers, strict=True)
    ]


def _cross_norms(pair: PairSums) -> Float64[Tensor, "left_layers right_layers"]:
    """Squared Frobenius norm of the covariance of each pair of layers."""
    everything = slice(0, pair.product.shape[1])
    moments = pair.left.moments
    deviation = torch.where(moments.valid, moments.deviation, 0.0).to(pair.product.dtype)
    norms = []
    for units in pair.left.layers:
        squares = torch.zeros(everything.stop, dtype=torch.float64, device=pair.product.device)
        for rows in pair.tiles(units):
            covariance = pair.covariance(rows, everything).mul_(deviation[rows, None])
            squares += covariance.square_().sum(0, dtype=torch.float64)
        norms.append(torch.stack([squares[columns].sum() for columns in pair.right.layers]))
    return torch.stack(norms)


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
