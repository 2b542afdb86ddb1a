"""How much of a unit's variance a grouping of the tokens explains (method E.1, E.3)."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


def eta_squared(
    means: Float[Tensor, "groups units"],
    counts: Int64[Tensor, " groups"],
    mean: Float64[Tensor, " units"],
    variance: Float64[Tensor, " units"],
) -> Float64[Tensor, " units"]:
    """η² = Var(E[x | group]) / Var(x), between 0 and 1.

    It is the largest reduction in variance (paper eq. 4) that any feature of the group can reach. Groups that
    say nothing still explain (groups - 1) / (tokens - 1) of it, because each has a mean of its own.

    Args:
        means: Mean of each group; those of empty groups are not looked at.
        counts: Tokens of each group.
        mean: Mean over all tokens.
        variance: Population variance over all tokens.

    Returns:
        NaN for units without variance.
    """
    between = torch.zeros_like(mean)
    total = int(counts.sum())
    rows = max(1, (1 << 24) // max(1, len(mean)))  # float64 deviations exist for a part of the groups only
    for part, weight in zip(means.split(rows), counts.split(rows), strict=True):
        filled = weight > 0
        between += weight[filled].double() @ (part[filled].double() - mean).square()
    return torch.where(variance > 0, between / (total * variance), torch.nan)


def firing_information(
    rates: Float64[Tensor, "groups units"], counts: Int64[Tensor, " groups"]
) -> Float64[Tensor, " units"]:
    """Mutual information in nats between the group of a token and whether a unit fires there (method E.3).

    The published definition takes all groups for equally large; here each weighs as many tokens as it has.

    Args:
        rates: Share of each group's tokens at which the unit fires; those of empty groups are not looked at.
        counts: Tokens of each group.
    """
    filled = counts > 0
    weights = counts[filled].double() / counts.sum()
    rates = rates[filled]
    overall = weights @ rates
    fires = torch.special.xlogy(rates, rates / overall)
    silent = torch.special.xlogy(1 - rates, (1 - rates) / (1 - overall))
    # Where a unit always or never fires one of the two is 0·log(0/0), which is nothing.
    information = torch.nan_to_num(fires, nan=0.0) + torch.nan_to_num(silent, nan=0.0)
    return torch.where(torch.isfinite(overall), weights @ information, torch.nan).clamp(min=0)
