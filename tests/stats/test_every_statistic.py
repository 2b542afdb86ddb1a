"""What holds for every statistic: any order, any batches, any ranks and any stops give the same tensors.

Values are small integers, whose sums float32 holds exactly, so equal means equal to the last bit.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import un_lightning.stats
from tests.stats.ranks import continued, merge
from un_lightning.stats.bags import Bags
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.by_position import ByPosition
from un_lightning.stats.by_token import ByToken
from un_lightning.stats.champions import Champions
from un_lightning.stats.co_activity import ActiveCounts, JointCounts
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.filled_rows import FilledRows
from un_lightning.stats.followed_labels import FollowedLabels, LabelledTokens
from un_lightning.stats.followed_pairs import FollowedPairs
from un_lightning.stats.grouped_sums import GroupedSums
from un_lightning.stats.head_sums import HeadSums
from un_lightning.stats.histogram import Histogram
from un_lightning.stats.label_sums import LabelSums
from un_lightning.stats.moments import Moments
from un_lightning.stats.next_token import NextTokenSums
from un_lightning.stats.path_sums import PathSums, ScreenSums
from un_lightning.stats.readings import PairReadings, UnitReadings
from un_lightning.stats.screening import Screened
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.support import Support
from un_lightning.stats.token_sample import TokenSample
from un_lightning.stats.token_tops import TokenTops
from un_lightning.stats.top_examples import TopExamples
from un_lightning.stats.unit_sums import UnitSums


BLOCKS, CONTEXT, UNITS, TOKEN_TYPES = 6, 5, 4, 7
GROUPS = 3
CPU = torch.device("cpu")
_draw = np.random.default_rng(0).integers
LEFT = torch.from_numpy(_draw(-3, 4, (BLOCKS, CONTEXT, UNITS))).float()
RIGHT = torch.from_numpy(_draw(-3, 4, (BLOCKS, CONTEXT, UNITS))).float()
TYPES = torch.from_numpy(_draw(0, TOKEN_TYPES, (BLOCKS, CONTEXT)))
LABELS = torch.from_numpy(_draw(0, 2, (BLOCKS, CONTEXT, 3))).bool()
SAMPLE = torch.tensor([1, 4, 13, 14, 27])
ALL = slice(0, UNITS)
LOW, HIGH = torch.full((UNITS,), -4.0), torch.full((UNITS,), 4.0)
SLOTS = torch.tensor([[0, 2], [1, -1], [2, 0], [-1, -1]])


class Tokens(NamedTuple):
    """The tokens of a batch of whole blocks."""

    blocks: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    types: torch.Tensor
    labels: torch.Tensor
    position: torch.Tensor
    place: torch.Tensor
    group: torch.Tensor

    @classmethod
    def of(cls, blocks: list[int]) -> "Tokens":
        chosen = torch.tensor(blocks)
        place = (chosen[:, None] * CONTEXT + torch.arange(CONTEXT)).flatten()
        flat = [value[chosen].flatten(0, 1) for value in (LEFT, RIGHT, TYPES, LABELS)]
        return cls(chosen, *flat, place % CONTEXT, place, place // CONTEXT % GROUPS)


def by_position(statistic: ByPosition, batch: Tokens) -> None:
    statistic.add_tokens(batch.position)
    statistic.add("pre", ALL, batch.left, Bags.of(batch.position, torch.arange(len(batch.position))))


def by_token(statistic: ByToken, batch: Tokens) -> None:
    statistic.add_tokens(batch.types)
    statistic.add(0, batch.left, Bags.of(batch.types, torch.arange(len(batch.types))))


def by_group(add: Callable[[int, Tokens], Any], batch: Tokens) -> None:
    for group in range(GROUPS):
        own = batch.group == group
        add(group, Tokens(batch.blocks, *(value[own] for value in batch[1:])))


def followed_labels(statistic: FollowedLabels, batch: Tokens) -> None:
    statistic.add_tokens(batch.labels, batch.group)
    tokens = LabelledTokens(batch.labels, batch.group)
    statistic.add(ALL, SLOTS, tokens, batch.left, (batch.left + 4).int())


def label_sums(statistic: LabelSums, batch: Tokens) -> None:
    statistic.add_labels(batch.labels)
    statistic.add(ALL, batch.labels.T.float(), batch.left)


def heads(statistic: HeadSums, batch: Tokens) -> None:
    statistic.add(1, batch.left[:, :2], batch.right[:, :2], batch.right, 2.0 ** batch.left[:, 0])


def sample(statistic: TokenSample, batch: Tokens) -> None:
    hits, slots = statistic.find(batch.place)
    statistic.add_tokens(slots)
    statistic.add(ALL, batch.left[hits], slots)


def rows(statistic: FilledRows, batch: Tokens) -> None:
    for block in batch.blocks.tolist():
        statistic.fill(slice(block, block + 1), {"value": LEFT[block, :1]})


def screened(partner: list[list[int]]) -> Screened:
    found = torch.tensor(partner)
    half, units = torch.full(found.shape, 0.5), len(found)
    return Screened(found, half, half, torch.full((units,), -1.0), torch.zeros(1, units))


def pairs() -> FollowedPairs:
    return FollowedPairs(screened([[0, 2], [1, 3], [2, 0], [3, 1]]), screened([[1], [0], [3], [2]]), 2.0)


EVERY: dict[str, tuple[Callable[[], Statistic], Callable[[Any, Tokens], None]]] = {
    "BlockSums": (
        lambda: BlockSums(UNITS, CPU),
        lambda own, batch: own.add(batch.left.T.contiguous(), len(batch.blocks), len(batch.left)),
    ),
    "ByPosition": (lambda: ByPosition(["pre"], CONTEXT, UNITS, CPU), by_position),
    "ByToken": (lambda: ByToken(TOKEN_TYPES, [UNITS], CPU, torch.float32), by_token),
    "ActiveCounts": (
        lambda: ActiveCounts(UNITS, CPU),
        lambda own, batch: own.add((batch.left > 0).float()),
    ),
    "JointCounts": (
        lambda: JointCounts(UNITS, UNITS, CPU),
        lambda own, batch: own.add((batch.left > 0).float(), (batch.right > 1).float()),
    ),
    "CrossProduct": (
        lambda: CrossProduct(UNITS, UNITS, CPU),
        lambda own, batch: own.add(batch.left, batch.right),
    ),
    "LayerGrams": (lambda: LayerGrams((UNITS,), CPU), lambda own, batch: own.add(batch.left)),
    "FilledRows": (lambda: FilledRows(BLOCKS, {"value": ((UNITS,), torch.float32)}, CPU), rows),
    "FollowedLabels": (lambda: FollowedLabels(UNITS, 2, 8, GROUPS, 3, CPU), followed_labels),
    "FollowedPairs": (
        pairs,
        lambda own, batch: own.add(batch.left.T.contiguous(), batch.right.T.contiguous()),
    ),
    "GroupedSums": (
        lambda: GroupedSums(GROUPS, (UNITS,), CPU),
        lambda own, batch: own.add(batch.group, batch.left.T),
    ),
    "HeadSums": (lambda: HeadSums(2, 2, UNITS, CPU), heads),
    "Histogram": (
        lambda: Histogram(LOW, HIGH, 8, GROUPS),
        lambda own, batch: by_group(lambda group, part: own.add(group, ALL, part.left), batch),
    ),
    "LabelSums": (lambda: LabelSums(3, UNITS, CPU), label_sums),
    "Moments": (
        lambda: Moments(GROUPS, UNITS, CPU),
        lambda own, batch: by_group(
            lambda group, part: own.add(group, ALL, part.left, (part.left > 0).float()), batch
        ),
    ),
    "NextTokenSums": (
        lambda: NextTokenSums(GROUPS, torch.tensor([0, 1, 1]), LOW, HIGH, 8),
        lambda own, batch: own.add(batch.group, batch.left, batch.labels),
    ),
    "PathSums": (
        lambda: PathSums(GROUPS, 2, CPU),
        lambda own, batch: own.add(1, batch.group, batch.left[:, :3], batch.right[:, 0], batch.right[:, 1]),
    ),
    "ScreenSums": (
        lambda: ScreenSums(UNITS, CPU),
        lambda own, batch: own.add(batch.left, batch.right),
    ),
    "Support": (
        lambda: Support(UNITS, CPU),
        lambda own, batch: own.add(batch.left, LOW / 4, batch.place // 3, batch.types > 0),
    ),
    "TokenSample": (lambda: TokenSample(SAMPLE, UNITS, CPU, torch.float32), sample),
    "TopExamples": (
        lambda: TopExamples(UNITS, 3, CPU, torch.float32),
        lambda own, batch: own.add(ALL, batch.left, batch.place),
    ),
    "UnitSums": (lambda: UnitSums(UNITS, CPU), lambda own, batch: own.add(batch.left)),
}
"""How each statistic is made, and how it is given a batch."""

OTHERWISE = {
    UnitReadings: "notes running sums, a part for each rank: below",
    PairReadings: "notes running sums, a part for each rank: below",
    Champions: "notes running sums, a part for each rank: below",
    TokenTops: "is taken from merged sums, the same on every rank",
}


def test_no_statistic_is_left_out():
    for module in iter_modules(un_lightning.stats.__path__):
        import_module(f"un_lightning.stats.{module.name}")
    known = {own for own in Statistic.__subclasses__() if own.__module__.startswith("un_lightning.stats.")}
    assert {own.__name__ for own in known - OTHERWISE.keys()} == set(EVERY)


@st.composite
def ways(draw: Any) -> list[tuple[list[list[int]], int]]:
    """Ranks with their batches, and after how many of them each stops; every block comes once."""
    blocks = draw(st.permutations(range(BLOCKS)))
    owner = draw(st.lists(st.integers(0, draw(st.integers(0, 2))), min_size=BLOCKS, max_size=BLOCKS))
    ranks = []
    for rank in range(max(owner) + 1):
        own = [block for block, who in zip(blocks, owner, strict=True) if who == rank]
        size = draw(st.integers(1, BLOCKS))
        batches = [own[start : start + size] for start in range(0, len(own), size)]
        ranks.append((batches, draw(st.integers(0, len(batches)))))
    return ranks


@pytest.mark.parametrize("name", EVERY)
@given(ways())
@settings(max_examples=15)
def test_order_batches_ranks_and_stops_change_nothing(name, ranks):
    make, add = EVERY[name]
    whole = make()
    add(whole, Tokens.of(list(range(BLOCKS))))
    parts = []
    for batches, stop in ranks:
        part = make()
        for index, batch in enumerate(batches):
            part = continued(part, make()) if index == stop else part
            add(part, Tokens.of(batch))
        parts.append(continued(part, make()))
    merge(parts)
    for part in parts:
        for tensor, value in part.tensors.items():
            torch.testing.assert_close(value, whole.tensors[tensor], rtol=0, atol=0, msg=f"{name}.{tensor}")
    assert any(value.any() for value in whole.tensors.values())


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=4), min_size=1, max_size=3), st.integers(0, 3)
)
@settings(max_examples=15)
def test_readings_of_all_ranks_are_collected(sums, stop):
    """Each rank notes its running sums after each of its groups, and stops once on the way."""
    ranks, groups = len(sums), 4
    make = lambda rank: (
        UnitReadings(ranks, groups, 2, rank, CPU),
        PairReadings(ranks, groups, 2, 1, rank, CPU),
        Champions(ranks, groups, 2, 9, rank, CPU),
    )
    wanted = torch.zeros(ranks, groups)
    found = []
    for rank, own in enumerate(sums):
        units, pairs_read, late = make(rank)
        pairs_read.choose(torch.tensor([[0], [1]]))
        for group, value in enumerate(own):
            if group == stop:
                units, pairs_read, late = (
                    continued(one, new)
                    for one, new in zip((units, pairs_read, late), make(rank), strict=True)
                )
            running = torch.full((2,), float(value))
            units.read(group, abs(value), {"sum": running, "squares": running.square()})
            pairs_read.read(group, running.expand(2, 2))
            late.join(group, torch.tensor([1, 0] if group else [0, 1]), torch.tensor([[0], [1]]))
            late.read(group, running.expand(2, 2))
            wanted[rank, group:] = value
        found.append((units, pairs_read, late))
    for kind in zip(*found, strict=True):
        merge(kind)
    since = torch.tensor([1 if len(own) > 1 else groups for own in sums])
    for units, pairs_read, late in found:
        assert torch.equal(units.tensors["sum"], wanted.double()[..., None].expand(-1, -1, 2))
        assert torch.equal(units.tensors["count"], wanted.double().abs())
        assert torch.equal(pairs_read.tensors["product"][..., 0], wanted[..., None].expand(-1, -1, 2))
        assert pairs_read.tensors["chosen"].tolist() == [1] * ranks
        start, running = late.find(torch.tensor([1, 0]))
        assert torch.equal(start, since[:, None].expand(-1, 2))
        there = torch.arange(groups) >= since[:, None]
        assert torch.equal(running[there], wanted[there][:, None].expand(-1, 2))
