"""How well labels of tokens explain what directions do to the vocabulary (method F).

For a direction, c(t) = cos(W_U[:, t], w) is one number a token. A label divides the tokens in two; what it
explains is how much less the parts vary, lean or have heavy tails than the whole.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from un_lightning.stats.cosines import central, unit_rows


DIRECTIONS = 256
"""Directions at a time."""


class LabelContrast(NamedTuple):
    """Tokens with a label against those without it; NaN where either are too few."""

    mean_difference: Float64[Tensor, "directions labels"]
    """Mean cosine of the tokens with the label less that of the others."""
    welch_t: Float64[Tensor, "directions labels"]
    """The difference in units of its standard error, for parts of unequal variance."""
    variance_reduction: Float64[Tensor, "directions labels"]
    """1 - Σ share · variance of the parts / variance of the whole: the squared correlation."""
    skew_reduction: Float64[Tensor, "directions labels"]
    """|skew| of the whole less Σ share · |skew| of the parts."""
    kurt_reduction: Float64[Tensor, "directions labels"]
    """1 - Σ share · kurtosis of the parts / kurtosis of the whole."""


def label_contrast(
    directions: Float[Tensor, "directions width"],
    tokens: Float[Tensor, "vocabulary width"],
    labels: Bool[Tensor, "vocabulary labels"],
    moments: Float64[Tensor, "directions four"],
    min_tokens: int,
    tile: int = 2048,
) -> LabelContrast:
    """Compare the parts for every direction and label.

    Args:
        directions: What is written to the residual stream, of any length.
        tokens: The unembedding, a row a token.
        labels: Which tokens have each label.
        moments: Mean, variance, skew and kurtosis of each direction's cosines.
        min_tokens: Tokens that must have, and lack, a label.
        tile: Tokens at a time.
    """
    count = labels.sum(0)
    parts = [
        _contrast(rows, tokens, labels, own, count, tile)
        for rows, own in zip(directions.split(DIRECTIONS), moments.split(DIRECTIONS), strict=True)
    ]
    few = (count < min_tokens) | (len(labels) - count < min_tokens)
    return LabelContrast(
        *(torch.cat(values).masked_fill(few, torch.nan) for values in zip(*parts, strict=True))
    )


def _contrast(
    directions: Float[Tensor, "directions width"],
    tokens: Float[Tensor, "vocabulary width"],
    labels: Bool[Tensor, "vocabulary labels"],
    moments: Float64[Tensor, "directions four"],
    count: Int64[Tensor, " labels"],
    tile: int,
) -> LabelContrast:
    unit, _ = unit_rows(directions)
    mean, deviation = moments[:, 0], moments[:, 1].sqrt()
    inside = torch.zeros(4, len(unit), labels.shape[1], dtype=torch.float64, device=unit.device)
    total = torch.zeros(4, len(unit), 1, dtype=torch.float64, device=unit.device)
    for start in range(0, len(tokens), tile):
        part = slice(start, start + tile)
        values = unit @ unit_rows(tokens[part])[0].T
        # Standardised, the powers of float32 are as exact as they can be.
        values = ((values - mean[:, None]) / deviation[:, None]).to(unit.dtype)
        has = labels[part].to(unit.dtype)
        power = values
        for exponent in range(4):
            inside[exponent] += power @ has
            total[exponent] += power.sum(1, keepdim=True)
            power = power * values
    size = len(tokens)
    with_label = _moments(count, inside)
    without = _moments(size - count, total - inside)
    share = count.double() / size
    average = lambda a, b: share * a + (1 - share) * b
    difference = with_label["mean"] - without["mean"]
    error = with_label["var"] / (count - 1) + without["var"] / (size - count - 1)
    whole = _moments(torch.full_like(count[:1], size), total)
    # A part whose values are all the same leans to no side and has no tails.
    absolute = lambda values: values.abs().nan_to_num_(0, 0, 0)
    return LabelContrast(
        difference * deviation[:, None],
        difference / error.sqrt(),
        1 - average(with_label["var"], without["var"]) / whole["var"],
        whole["skew"].abs() - average(absolute(with_label["skew"]), absolute(without["skew"])),
        1 - average(absolute(with_label["kurt"]), absolute(without["kurt"])) / whole["kurt"],
    )


def _moments(
    count: Int64[Tensor, " labels"], sums: Float64[Tensor, "four directions labels"]
) -> dict[str, Float64[Tensor, "directions labels"]]:
    sizes = count.double().expand(sums.shape[1:])
    powers = torch.cat([sizes[None], sums]).flatten(1)
    return {name: value.view(sizes.shape) for name, value in central(powers).items()}
