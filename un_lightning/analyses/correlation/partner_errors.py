"""The error of each unit's mean correlation with its final partners, from groups of whole documents.

A partner that joined late is known group by group from then on only; what was read before is one larger
group. A rank that never followed it adds what is left of its total to one further group. Where too few groups
of its own remain, a unit's error follows from its tokens and from how much larger than for independent tokens
the errors of the other units are (a design effect).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from un_lightning.stats.jackknife import GroupSums, standard_error


FEWEST_GROUPS, LARGEST_SHARE = 10, 0.3
"""Groups of its own, and share of the largest of them in all tokens, with which a unit's error is its own."""
CAUTION = 0.9
"""Of the other units' design effects, the quantile that stands for a unit whose own is not known."""


class Followed(NamedTuple):
    """What is known of one model's units and their final partners in another model.

    Ranks' groups follow each other; sums are running ones, so that a group's own are a difference.
    """

    start: Int[Tensor, "ranks units"]
    """Group from which on the products are known; as many as there are groups where they never are."""
    product: Float[Tensor, "ranks groups units"]
    left: Float[Tensor, "ranks groups units"]
    left_squares: Float[Tensor, "ranks groups units"]
    right: Float[Tensor, "ranks groups units"]
    """Sums of the partners."""
    right_squares: Float[Tensor, "ranks groups units"]
    corr: Float[Tensor, " units"]
    """Correlation over all tokens."""


class PartnerErrors(NamedTuple):
    """Errors of the mean over the other models, and what they come from."""

    stderr: Float[Tensor, " units"]
    own: Bool[Tensor, " units"]
    """Whether it comes from groups of the unit's own."""
    without: Float[Tensor, "groups units"]
    """Mean correlation without each group; NaN where a unit's error is not its own."""
    tokens: Float[Tensor, " groups"]


def partner_errors(
    followed: Sequence[Followed], count: Float[Tensor, "ranks groups"], valid: Bool[Tensor, " units"]
) -> PartnerErrors:
    """Errors of one model's units.

    Args:
        followed: Their partners in each other model.
        count: Running counts of tokens.
        valid: Which units have correlations.
    """
    groups = count.shape[1]
    read = count[:, -1] > 0
    start = torch.stack([one.start for one in followed]).amax(0)
    start = torch.where(read[:, None], start, 0)
    lacking = start >= groups
    tokens = _merged(count[:, :, None].expand(-1, -1, start.shape[1]), start)
    left_over = (count[:, -1, None] * lacking).sum(0)
    counts = torch.cat([tokens.flatten(0, 1), left_over[None]])
    whole, without = [], []
    for one in followed:
        parts = (one.left, one.right, one.left_squares, one.right_squares)
        left, right, left_squares, right_squares = (_with_rest(part, start, lacking) for part in parts)
        known = _merged(one.product, start).flatten(0, 1)
        total = _total_product(one.corr.double(), counts, left, right, left_squares, right_squares)
        rest = torch.where(left_over > 0, total - known.sum(0), 0.0)
        product = torch.cat([known, rest[None]])
        sums = GroupSums(counts, left, right, left_squares, right_squares, product)
        whole.append(sums.total().correlation()[0])
        without.append(sums.without_each().correlation())
    value, left_out = torch.stack(whole).mean(0), torch.stack(without).mean(0)
    stderr = standard_error(value, left_out, counts)
    enough = (counts > 0).sum(0) >= min(FEWEST_GROUPS, int((_own(count) > 0).sum()))
    own = enough & (counts.amax(0) <= LARGEST_SHARE * counts.sum(0)) & stderr.isfinite() & valid
    if not own.any():  # a short text has few groups, and one of them may be most of it
        own = stderr.isfinite() & valid & (start == 0).all(0)
    if not own.any():
        own = stderr.isfinite() & valid
    stderr = torch.where(own, stderr, _by_design(stderr, value, own, counts.sum(0)))
    fine = _spread(left_out, value, start, count)
    fine = torch.where(own, fine, torch.nan)
    full = (_own(count) > 0).flatten()
    return PartnerErrors(torch.where(valid, stderr, torch.nan), own, fine[full], _own(count).flatten()[full])


def _own(running: Float[Tensor, "ranks groups *units"]) -> Float[Tensor, "ranks groups *units"]:
    """The groups' own sums."""
    before = torch.zeros_like(running)
    before[:, 1:] = running[:, :-1]
    return running - before


def _merged(
    running: Float[Tensor, "ranks groups units"], start: Int[Tensor, "ranks units"]
) -> Float[Tensor, "ranks groups units"]:
    """Own sums, all groups up to `start` as one that stands at its place; nothing where `start` is none."""
    group = torch.arange(running.shape[1], device=running.device)[None, :, None]
    first = start[:, None]
    own = torch.where(group == first, running, _own(running))
    return torch.where(group >= first, own, 0.0).double()


def _with_rest(
    running: Float[Tensor, "ranks groups units"],
    start: Int[Tensor, "ranks units"],
    lacking: Bool[Tensor, "ranks units"],
) -> Float[Tensor, "parts units"]:
    """Own sums of all ranks, and last what the ranks have that never followed the partner."""
    rest = (running[:, -1] * lacking).sum(0, keepdim=True)
    return torch.cat([_merged(running, start).flatten(0, 1), rest])


def _total_product(
    corr: Float[Tensor, " units"], *parts: Float[Tensor, "parts units"]
) -> Float[Tensor, " units"]:
    """Σ a b over all tokens, from the correlation and what the parts' counts, sums and squares add up to."""
    count, left, right, left_squares, right_squares = (part.sum(0) for part in parts)
    variance = (left_squares - left**2 / count).clamp(min=0)
    other = (right_squares - right**2 / count).clamp(min=0)
    return corr * (variance * other).sqrt() + left * right / count


def _by_design(
    stderr: Float[Tensor, " units"],
    value: Float[Tensor, " units"],
    own: Bool[Tensor, " units"],
    tokens: Float[Tensor, " units"],
) -> Float[Tensor, " units"]:
    """Errors as for independent tokens, times the high quantile of how much larger the known ones are."""
    independent = (1 - value**2).clamp(min=0) / tokens.clamp(min=4).sqrt()
    ratio = (stderr / independent)[own & (independent > 0)]
    ratio = ratio[ratio.isfinite()]
    if len(ratio) == 0:
        return torch.full_like(stderr, torch.nan)
    return independent * torch.quantile(ratio[:: max(1, len(ratio) // 100_000)], CAUTION)


def _spread(
    left_out: Float[Tensor, "parts units"],
    value: Float[Tensor, " units"],
    start: Int[Tensor, "ranks units"],
    count: Float[Tensor, "ranks groups"],
) -> Float[Tensor, "every_group units"]:
    """What leaving out each single group leaves, where groups are merged in proportion to their tokens."""
    ranks, groups = count.shape
    fine = left_out[:-1].view(ranks, groups, -1).clone()
    rest = left_out[-1]
    own = _own(count)
    lacking = count[:, -1, None] * (start >= groups)
    group = torch.arange(groups, device=count.device)[:, None]
    for rank in range(ranks):
        first = start[rank].clamp(max=groups - 1)
        there = fine[rank].gather(0, first[None])[0]
        merged = torch.where(start[rank] < groups, there, rest)
        among = torch.where(start[rank] < groups, count[rank][first], lacking.sum(0))
        part = value - (value - merged) * own[rank][:, None] / among.clamp(min=1)
        fine[rank] = torch.where(group <= start[rank], part, fine[rank])
    return fine.flatten(0, 1)
