"""Which neurons may act through the final norm, as far as their weights tell (method G and J.1).

A neuron that writes into directions which the unembedding hardly reads leaves logits alone but for the scale
of the final norm. All measures are quadratic forms of w_out with matrices of the size of the residual
stream, so no product with the whole vocabulary is needed for them.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int
from numpy import ndarray
from torch import Tensor

from un_lightning.config import EntropyConfig
from un_lightning.models.units import Units
from un_lightning.models.weights import ModelWeights
from un_lightning.stats.cosines import unit_rows


NAMED, VARIANCE, NULL_SPACE, FREQUENCY, BASELINE = (1 << bit for bit in range(5))
"""Why a neuron is looked at; a neuron that several criteria chose has the sum."""
REASONS = {
    NAMED: "named",
    VARIANCE: "variance",
    NULL_SPACE: "null_space",
    FREQUENCY: "frequency",
    BASELINE: "baseline",
}
MEASURES = ("l2_penalty", "w_out_norm", "vocab_var", "null_fraction", "frequency_cos")
BINS = 400
"""Bins of the histograms of cosines, over [-1, 1]."""


def weight_measures(
    weights: ModelWeights,
    tokens: Bool[Tensor, " vocabulary"],
    null_directions: int,
    log_frequency: Float64[Tensor, " vocabulary"] | None,
) -> dict[str, Float64[Tensor, " neurons"]]:
    """Measure every neuron of a model.

    Args:
        weights: Processed weights.
        tokens: Columns of the unembedding that are tokens.
        null_directions: Directions with the smallest singular values that count as null space.
        log_frequency: ln of each token's share of some text; None leaves `frequency_cos` at NaN.

    Returns:
        `l2_penalty` ‖w_in‖² + ‖w_out‖², `w_out_norm`, `vocab_var` the variance over tokens of
        cos(W_U[:, t], w_out) (LogitVar), `null_fraction` ‖V₀ᵀ w_out‖ / ‖w_out‖, and `frequency_cos`
        cos(W_Uᵀ w_out, u) with the centred logarithms u of token frequencies (Stolfo et al. 2024).
    """
    W_U = weights.W_U[:, tokens].double()
    unit, _ = unit_rows(W_U.T)
    mean, second = unit.mean(0), unit.T @ unit / len(unit)
    gram = W_U @ W_U.T
    smallest = torch.linalg.eigh(_without_trivial(gram)).eigenvectors[:, :null_directions]
    centred = gram - W_U.sum(1)[:, None] * W_U.mean(1)
    frequent = None
    if log_frequency is not None:
        u = log_frequency[tokens] - log_frequency[tokens].mean()
        frequent = W_U @ (u / u.norm())
    found: dict[str, list[Tensor]] = {name: [] for name in MEASURES}
    for layer in weights.layers:
        w_in, w_out = layer.w_in.double(), layer.w_out.double()
        direction, _ = unit_rows(w_out)
        norm = w_out.square().sum(1)
        found["l2_penalty"].append(w_in.square().sum(1) + norm)
        found["w_out_norm"].append(norm.sqrt())
        squares = ((direction @ second) * direction).sum(1)
        found["vocab_var"].append((squares - (direction @ mean).square()).clamp(min=0))
        found["null_fraction"].append((direction @ smallest).norm(dim=1))
        if frequent is None:
            found["frequency_cos"].append(torch.full_like(norm, torch.nan))
        else:
            length = ((direction @ centred) * direction).sum(1).clamp(min=1e-30).sqrt()
            found["frequency_cos"].append(direction @ frequent / length)
    return {name: torch.cat(parts) for name, parts in found.items()}


def _without_trivial(gram: Float64[Tensor, "d_model d_model"]) -> Float64[Tensor, "d_model d_model"]:
    """Move the direction of all ones away from the null space, to which centring brings it in every model."""
    size = len(gram)
    if gram.sum().abs() / size > 1e-9 * gram.trace():
        return gram
    return gram + gram.trace() / size * torch.ones_like(gram)


def choose(
    config: EntropyConfig,
    units: Units,
    named: Int[ndarray, " named"] | None,
    measures: dict[str, Float64[Tensor, " neurons"]],
    seed: int,
) -> tuple[Int[ndarray, " chosen"], Int[ndarray, " chosen"]]:
    """Choose candidates and baseline neurons.

    Args:
        config: How many of what.
        units: All neurons.
        named: Flat indices of neurons that the user named; None has criteria choose.
        measures: `weight_measures` of all neurons.
        seed: Seed of the baseline neurons.

    Returns:
        Flat indices, candidates first, and why each was chosen.
    """
    value = {name: tensor.cpu().numpy() for name, tensor in measures.items()}
    first = units.offsets[max(0, len(units.widths) - config.layers)]
    late = np.arange(first, units.count)
    large = value["l2_penalty"] > np.quantile(value["l2_penalty"], config.norm_quantile)
    reasons: dict[int, int] = {}
    if named is not None:
        reasons = dict.fromkeys(named.tolist(), NAMED)
    else:
        pool = late[large[late]] if large[late].any() else late
        for reason, score in (
            (VARIANCE, value["vocab_var"]),
            (NULL_SPACE, -value["null_fraction"]),
            (FREQUENCY, -np.abs(value["frequency_cos"])),
        ):
            score = score[pool]
            for place in np.argsort(score, kind="stable")[: config.candidates]:
                if np.isfinite(score[place]):
                    flat = int(pool[place])
                    reasons[flat] = reasons.get(flat, 0) | reason
    varied = value["vocab_var"] >= np.quantile(value["vocab_var"], 0.1)
    ordinary = late[~large[late] & varied[late]]
    ordinary = ordinary[~np.isin(ordinary, list(reasons))]
    drawn = np.random.default_rng(seed).permutation(ordinary)[: config.baseline]
    flat = np.concatenate([np.array(list(reasons), dtype=np.int64), np.sort(drawn)])
    return flat, np.array([*reasons.values(), *[BASELINE] * len(drawn)], dtype=np.int64)


def vocabulary_histograms(
    weights: ModelWeights, units: Units, flat: Int[ndarray, " chosen"], tokens: Bool[Tensor, " vocabulary"]
) -> Int[Tensor, "chosen bins"]:
    """Counts of cos(W_U[:, t], w_out) over the tokens, in `BINS` equal bins over [-1, 1]."""
    layer, neuron = units.locate(flat)
    w_out = torch.stack([weights.layers[i].w_out[j] for i, j in zip(layer, neuron, strict=True)])
    cosines = unit_rows(w_out)[0] @ unit_rows(weights.W_U[:, tokens].T)[0].T
    place = ((cosines + 1) * (BINS / 2)).long().clamp(0, BINS - 1)
    counts = torch.zeros(len(flat), BINS, dtype=torch.int64, device=place.device)
    return counts.scatter_add_(1, place, torch.ones_like(place))


def reason_names(reason: int) -> str:
    """Why a neuron was chosen, such as `variance+null_space`."""
    return "+".join(name for bit, name in REASONS.items() if reason & bit)
