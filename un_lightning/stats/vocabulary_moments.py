"""How directions of the residual stream spread over the vocabulary (paper section 5.2; method F).

A direction w has a cosine with every token's unembedding and an effect on every token's logit. Both come from
one product, a tile of tokens at a time, so nothing of [directions, vocabulary] is ever held.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from un_lightning.stats.cosines import central, unit_rows


MOMENTS = ("mean", "var", "skew", "kurt")
"""Population moments; the kurtosis of a normal distribution is 3."""
ELEMENTS = 1 << 22
"""Cosines that exist at a time."""


def vocabulary_moments(
    directions: Float[Tensor, "directions width"],
    tokens: Float[Tensor, "vocabulary width"],
    frequency: Float64[Tensor, " vocabulary"] | None = None,
    tile: int = 2048,
) -> dict[str, Float64[Tensor, "directions four"]]:
    """Moments over tokens of cos(W_U, w) and of the logit effects W_U w.

    Values are shifted by their exact mean before they are multiplied with themselves, so that a direction
    whose mean is large beside its deviation keeps its digits in float32.

    Args:
        directions: What is written to the residual stream, of any length.
        tokens: The unembedding, a row a token.
        frequency: Share of each token in some text, for a second set of moments; None for no second set.
        tile: Tokens at a time.

    Returns:
        The columns of `MOMENTS` for `cosine` and `logit`, and for `cosine_weighted` and `logit_weighted` if
        there are frequencies. NaN for a direction of length zero; tokens of length zero have a cosine of 0.
    """
    unit, valid = unit_rows(directions)
    unit_tokens, _ = unit_rows(tokens)
    weights = torch.full((len(tokens), 1), 1 / len(tokens), dtype=tokens.dtype, device=tokens.device)
    suffixes = [""]
    if frequency is not None:
        weights = torch.cat([weights, frequency.to(tokens)[:, None]], dim=1)
        suffixes.append("_weighted")
    length = torch.linalg.vector_norm(tokens, dim=1)
    means = {"cosine": unit_tokens.mean(0), "logit": tokens.mean(0)}
    scale = torch.linalg.vector_norm(directions.double(), dim=1)
    found = {f"{kind}{suffix}": [] for kind in means for suffix in suffixes}
    for rows in unit.split(max(1, ELEMENTS // tile)):
        shifts = {kind: rows @ mean for kind, mean in means.items()}
        powers = {
            kind: torch.zeros(5, len(suffixes), len(rows), dtype=torch.float64, device=rows.device)
            for kind in means
        }
        for start in range(0, len(tokens), tile):
            part = slice(start, start + tile)
            effect = rows @ tokens[part].T
            cosine = torch.where(length[part] > 0, effect / length[part], 0.0)
            for kind, values in (("cosine", cosine), ("logit", effect)):
                _add_powers(powers[kind], values.sub_(shifts[kind][:, None]), weights[part])
        for kind, shift in shifts.items():
            for index, suffix in enumerate(suffixes):
                moments = central(powers[kind][:, index])
                moments["mean"] = moments["mean"] + shift
                found[f"{kind}{suffix}"].append(torch.stack([moments[name] for name in MOMENTS], dim=1))
    whole = {name: torch.cat(parts).masked_fill(~valid[:, None], torch.nan) for name, parts in found.items()}
    for name, moments in whole.items():
        if name.startswith("logit"):
            moments[:, 0] *= scale
            moments[:, 1] *= scale.square()
    return whole


def _add_powers(
    powers: Float64[Tensor, "five sets rows"],
    values: Float[Tensor, "rows part"],
    weights: Float[Tensor, "part sets"],
) -> None:
    """Add Σ w xᵏ of a tile for k = 0 to 4, all sets of weights in one product."""
    powers[0] += weights.sum(0, dtype=torch.float64)[:, None]
    power = values
    for exponent in range(1, 5):
        powers[exponent] += (power @ weights).T
        if exponent < 4:
            power = power * values


def token_rows(
    unembedding: Float[Tensor, "width vocabulary"], counts: Bool[Tensor, " vocabulary"]
) -> Float[Tensor, "tokens width"]:
    """The unembedding of the tokens that count, a row a token, in float32 or float64."""
    rows = unembedding.T[counts]
    return (rows if rows.dtype == torch.float64 else rows.float()).contiguous()
