"""Which rows of which pair's products are added up in which pass, and on which device of a node.

All products of a family may take more memory than there is. They are cut between layers of the row models,
because a layer's units have to be together where they are rotated. Everything here follows from the pairs,
the widths and two numbers, so that every rank comes to the same plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from un_lightning.models.units import Units


Pair = tuple[str, str]
Item = TypeVar("Item")


@dataclass(frozen=True)
class RowBlock:
    """Some layers of the row model of a pair, against all units of the column model."""

    left: str
    right: str
    layers: range
    rows: slice
    """Flat indices of the layers' units."""

    @property
    def pair(self) -> Pair:
        """Names of the row and the column model."""
        return self.left, self.right

    @property
    def name(self) -> str:
        """What its statistics are called."""
        return f"{self.left}-{self.right}-{self.layers.start}"

    def __hash__(self) -> int:
        return hash((self.left, self.right, self.layers))


Schedule = list[list[list[RowBlock]]]
"""Blocks by pass and by device."""


def schedule(pairs: Sequence[Pair], units: Mapping[str, Units], passes: int, devices: int) -> Schedule:
    """Share the products of all pairs out over passes, and those of a pass over the devices of a node.

    Args:
        pairs: The pairs.
        units: Units of each model.
        passes: How often the stream is read.
        devices: Devices that read the same batches and keep different rows.

    Returns:
        For each pass and device its blocks. Up to as many passes as pairs, no pair is cut between two passes.
    """
    strips = [
        [
            RowBlock(*pair, range(layer, layer + 1), rows)
            for layer, rows in enumerate(units[pair[0]].layer_slices())
        ]
        for pair in pairs
    ]
    whole = passes <= len(strips)
    items = strips if whole else [[strip] for pair in strips for strip in pair]
    sizes = [sum(_entries(strip, units) for strip in item) for item in items]
    result = []
    for group in _even(items, sizes, passes):
        own = [strip for item in group for strip in item]
        entries = [_entries(strip, units) for strip in own]
        result.append([_joined(part) for part in _even(own, entries, devices)])
    return result


def largest(plan: Schedule, units: Mapping[str, Units]) -> int:
    """Entries of the products that one device holds at a time, at most."""
    return max(sum(_entries(block, units) for block in blocks) for one in plan for blocks in one)


def _entries(block: RowBlock, units: Mapping[str, Units]) -> int:
    return (block.rows.stop - block.rows.start) * units[block.right].count


def _even(items: Sequence[Item], sizes: Sequence[int], parts: int) -> list[list[Item]]:
    """Cut a sequence into `parts` runs whose largest is as small as a cut between items allows."""
    low, high = max(sizes), sum(sizes)
    while low < high:
        limit = (low + high) // 2
        if _runs(sizes, limit) <= parts:
            high = limit
        else:
            low = limit + 1
    bounds, filled = [0], 0
    for index, size in enumerate(sizes):
        left = len(sizes) - index
        # A run also ends where every run that is still to come would otherwise stay empty.
        if index > bounds[-1] and (filled + size > low or left <= parts - len(bounds)):
            bounds.append(index)
            filled = 0
        filled += size
    bounds += [len(sizes)] * (parts + 1 - len(bounds))
    return [list(items[start:stop]) for start, stop in pairwise(bounds)]


def _runs(sizes: Sequence[int], limit: int) -> int:
    """Runs of at most `limit` that a sequence takes."""
    count, filled = 1, 0
    for size in sizes:
        if filled + size > limit:
            count, filled = count + 1, 0
        filled += size
    return count


def _joined(strips: Sequence[RowBlock]) -> list[RowBlock]:
    """Neighbouring layers of one pair as one block."""
    blocks: list[RowBlock] = []
    for strip in strips:
        if blocks and blocks[-1].pair == strip.pair:
            last = blocks.pop()
            layers = range(last.layers.start, strip.layers.stop)
            blocks.append(RowBlock(*strip.pair, layers, slice(last.rows.start, strip.rows.stop)))
        else:
            blocks.append(strip)
    return blocks
