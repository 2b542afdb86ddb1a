"""What the correlation analysis takes on a device, and how many passes that makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from un_lightning.analyses.base import Plan
from un_lightning.analyses.correlation.extra_sums import ExtraSums
from un_lightning.analyses.correlation.intervals import Intervals, groups_of_share
from un_lightning.analyses.correlation.pair_correlation import PairFindings
from un_lightning.analyses.correlation.row_blocks import Pair, Schedule, largest, schedule
from un_lightning.config import Baseline, CorrelationConfig, Gemm, MeasureName, Split
from un_lightning.errors import UserError
from un_lightning.memory import budget_bytes
from un_lightning.models.units import Units
from un_lightning.stats.cross_product import MIXED_ROWS, LayerGrams
from un_lightning.stats.support import Support
from un_lightning.stats.unit_sums import UnitSums


QR_COPIES = 4
"""Matrices of a layer's width that exist while a random one is made orthogonal: itself, Q, R and a copy."""
WEIGHTY = 0.1
"""Share of the memory from which on it helps to save on a part."""
GROUP_COPIES = 11
"""Arrays [groups, units · candidates] in float64 that exist while intervals are made."""
TILE_COPIES = 12
"""Matrices of one tile of correlations, in the accumulators' type, that exist while it is reduced."""


def plan_memory(
    config: CorrelationConfig,
    pairs: Sequence[Pair],
    units: Mapping[str, Units],
    batch_tokens: int,
    device: torch.device,
    wide: torch.dtype,
    devices: int,
    shares: int,
    processes: int,
) -> Plan:
    """The fewest passes over the text in which what is added up fits.

    Args:
        config: The settings.
        pairs: The pairs of models.
        units: Units of each model.
        batch_tokens: Tokens of a batch.
        device: Where the sums will be.
        wide: Type of the accumulators.
        devices: Devices that share the rows of the products.
        shares: Shares of the batches.
        processes: Processes that share the device's memory.

    Raises:
        UserError: It does not fit in any number of passes.
    """
    budget = budget_bytes(config.memory_gb, device, processes)
    batch = batch_bytes(config, units, batch_tokens, device, wide)
    tile = tile_bytes(config, units, wide)
    reading = tile if config.jackknife else 0  # correlations of a group, from which candidates are chosen
    passing = max(
        batch + reading, tile + rotation_bytes(config, units, wide), jackknife_bytes(config, units, shares)
    )
    entry = entry_bytes(config, wide)
    whole = bool(config.whole_pair_measures)
    most = len(pairs) if whole else sum(len(units[left].widths) for left, _ in pairs)
    alone = lasting_bytes(config, pairs, units, wide)
    readings = products = 0
    for passes in range(1, most + 1):
        plan = schedule(pairs, units, passes, devices)
        readings = reading_bytes(config, units, plan, shares)
        products = largest(plan, units) * entry
        if alone + readings + passing + products <= budget:
            return Plan(passes, alone + readings + passing + products)
    gb = lambda size: f"{size / 1e9:.3g}"
    everything = sum(units[left].count * units[right].count for left, right in pairs) * entry
    large = {"readings": readings > WEIGHTY * budget, "batch": batch > WEIGHTY * budget}
    raise UserError(
        f"the products of {len(pairs)} pairs take {gb(everything)} GB, at least {gb(products)} GB at a time; "
        f"with {gb(alone + readings + passing)} GB beside them (sums and products within layers {gb(alone)}, "
        f"readings for intervals {gb(readings)}, a batch of activations {gb(batch)}, tiles and rotations "
        f"{gb(passing - batch)}) that is more than the {gb(budget)} GB there are. "
        f"{_ways_out(config, whole, devices, large)}"
    )


def entry_bytes(config: CorrelationConfig, wide: torch.dtype) -> int:
    """Bytes for each pair of units."""
    shuffled = config.draws if config.baseline is Baseline.permutation else 0
    joint = torch.int32.itemsize if MeasureName.jaccard in config.measures else 0
    return wide.itemsize * (1 + shuffled) + joint


def lasting_bytes(
    config: CorrelationConfig, pairs: Sequence[Pair], units: Mapping[str, Units], wide: torch.dtype
) -> int:
    """Bytes of what is there from the first pass to the last, by making it without memory."""
    nowhere = torch.device("meta")
    shifts = {name: torch.empty(own.count, device=nowhere) for name, own in units.items()}
    grams = [LayerGrams(units[name].widths, nowhere, wide) for name in config.gram_models(pairs)]
    statistics: list[Any] = [UnitSums(own.count, nowhere) for own in units.values()]
    statistics += [Support(own.count, nowhere) for own in units.values()]
    statistics += [*grams, *ExtraSums(config, units, shifts, nowhere, wide, 0).of_models().values()]
    statistics += [PairFindings(units[left], units[right], config, nowhere, wide) for left, right in pairs]
    filled = sum(width**2 for gram in grams for width in gram.widths) * wide.itemsize  # when a pass ends
    return sum(statistic.bytes for statistic in statistics) + filled


def reading_bytes(
    config: CorrelationConfig,
    units: Mapping[str, Units],
    plan: Schedule,
    shares: int,
) -> int:
    """Bytes of the readings for intervals, of the blocks of all passes."""
    if not config.jackknife:
        return 0
    sums = {name: UnitSums(own.count, torch.device("meta")) for name, own in units.items()}
    blocks = [block for one in plan for own in one for block in own]
    intervals = Intervals(sums, units, blocks, config.jackknife, config.candidates, 0, shares)
    readings = [*intervals.of_models().values(), *intervals.of_blocks(blocks).values()]
    return sum(statistic.bytes for statistic in readings)


def jackknife_bytes(config: CorrelationConfig, units: Mapping[str, Units], shares: int) -> int:
    """Bytes of the sums of every group for all candidates of one model, while intervals are made of them."""
    widest = max(own.count for own in units.values())
    groups = shares * groups_of_share(config.jackknife, shares) if config.jackknife else 0
    return GROUP_COPIES * torch.float64.itemsize * groups * widest * config.candidates


def batch_bytes(
    config: CorrelationConfig,
    units: Mapping[str, Units],
    tokens: int,
    device: torch.device,
    wide: torch.dtype,
) -> int:
    """Bytes of the activations of one batch, and of what is made of them a part at a time."""
    narrow = config.gemm is Gemm.bfloat16 and device.type == "cuda"
    size = torch.bfloat16.itemsize if narrow else wide.itemsize
    every = sum(own.count for own in units.values()) * (2 if MeasureName.jaccard in config.measures else 1)
    widest = max(own.count for own in units.values())
    squares = UnitSums.ROWS * (2 if narrow else 1) + (MIXED_ROWS if narrow else 0)  # rows of products, too
    shuffled = widest if config.baseline is Baseline.permutation else 0
    return tokens * size * (every + shuffled) + squares * widest * wide.itemsize


def tile_bytes(config: CorrelationConfig, units: Mapping[str, Units], wide: torch.dtype) -> int:
    """Bytes of what exists while one tile of correlations is reduced."""
    widest = max(own.count for own in units.values())
    return TILE_COPIES * wide.itemsize * min(config.tile, widest) * widest


def rotation_bytes(config: CorrelationConfig, units: Mapping[str, Units], wide: torch.dtype) -> int:
    """Bytes of the random matrices of one layer, while the last of them is made in float64."""
    if not config.baseline.is_rotation:
        return 0
    widest = max(width for own in units.values() for width in own.widths)
    return (QR_COPIES * torch.float64.itemsize + config.draws * wide.itemsize) * widest**2


def _ways_out(config: CorrelationConfig, whole: bool, devices: int, large: Mapping[str, bool]) -> str:
    ways = ["name fewer members by models.members"]
    if large["readings"]:
        ways.append("lower analysis.candidates, or do without intervals by analysis.jackknife=0")
    if large["batch"]:
        ways.append("lower data.batch_size")
    if whole:
        names = ", ".join(config.whole_pair_measures)
        ways.append(f"leave out analysis.measures {names}, which keep a pair's products in one piece")
    if config.split is Split.tokens and devices == 1:
        ways.append("share the rows out over several devices by analysis.split=rows")
    ways += ["lower analysis.tile", "use analysis.method=screen, which holds no products of all pairs"]
    if config.memory_gb:
        ways.append("raise analysis.memory_gb")
    return "You can " + "; or ".join(ways)
