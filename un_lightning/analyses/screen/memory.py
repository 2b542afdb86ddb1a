"""What a screening run takes on a device: first two models' samples at a time, then the pass."""

from collections.abc import Mapping, Sequence

import torch

from un_lightning.analyses.base import Plan
from un_lightning.analyses.correlation.memory import QR_COPIES, WEIGHTY
from un_lightning.analyses.correlation.row_blocks import Pair
from un_lightning.analyses.screen.sample import FEWEST
from un_lightning.config import BaselineOf, CorrelationConfig, Gemm
from un_lightning.errors import UserError
from un_lightning.memory import budget_bytes
from un_lightning.models.units import Units
from un_lightning.stats import block_sample, followed_pairs
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.support import Support


TILE_COPIES = 12
"""Matrices of a tile, in float32, that exist while its products become correlations and errors."""
STANDARDISED = 24
"""Bytes of what exists for each activation while a part of a sample is standardised, in float64."""
GROUP_BYTES = 8
"""Bytes of what exists for each activation of a group while its energy is added up, in float32."""
SQUARE_BYTES = 8
"""The same while a batch's squares are added up."""
CANDIDATE_BYTES = 120
"""Bytes for each unit and candidate: partner, estimate, error, slot, product and what chooses among them."""
GATHERED_BYTES = 16
"""Bytes for each element of the rows that are gathered for products of chosen pairs, of both models."""


def plan_memory(
    config: CorrelationConfig,
    pairs: Sequence[Pair],
    units: Mapping[str, Units],
    sample_tokens: int,
    batch_tokens: int,
    kept: torch.dtype,
    device: torch.device,
    processes: int,
) -> Plan:
    """Refuse a sample or a batch that does not fit.

    Args:
        config: The settings.
        pairs: The pairs of models.
        units: Units of every model.
        sample_tokens: Tokens of the sample.
        batch_tokens: Tokens of a batch.
        kept: Type of the kept activations.
        device: Where they are kept.
        processes: Processes that share the device's memory in the pass; the sample is taken by one alone.

    Returns:
        One pass, and the most that is taken.

    Raises:
        UserError: It needs more than `analysis.memory_gb` or, without, most of what is free.
    """
    budget = budget_bytes(config.memory_gb, device, 1)
    most = max(one.count for one in units.values())
    batch = batch_tokens * most * kept.itemsize
    token = token_bytes(pairs, units, kept)
    rotations = rotation_bytes(config, pairs, units, kept)
    widest = max(width for one in units.values() for width in one.widths)
    wide = max(4, kept.itemsize)
    making = QR_COPIES * 8 * widest**2 if config.draws else 0
    standard = STANDARDISED * min(block_sample.ELEMENTS, most * sample_tokens)
    passing = max(TILE_COPIES * wide * widest**2, making, standard, batch)
    sampling = token * sample_tokens + rotations + passing
    gb = lambda size: f"{size / 1e9:.3g}"
    if sampling > budget:
        fits = (budget - rotations - passing) // token
        raise UserError(
            f"the sample of {sample_tokens:,} tokens needs {gb(sampling)} GB (activations of two models "
            f"{gb(token * sample_tokens)} GB, rotations {gb(rotations)} GB, a batch or a tile "
            f"{gb(passing)} GB), more than the {gb(budget)} GB there are on {device}. "
            f"{_ways_out(config, fits, rotations > WEIGHTY * budget, batch > WEIGHTY * budget)}"
        )
    streaming = streaming_bytes(config, pairs, units, batch_tokens, kept, device)
    each = budget_bytes(config.memory_gb, device, processes)
    if streaming > each:
        raise UserError(
            f"the activations of a batch and what is added up of the candidates need {gb(streaming)} GB in "
            f"each process, more than the {gb(each)} GB there are on {device}. You can lower "
            "data.batch_size; or lower analysis.candidates; or name fewer members by models.members"
            + ("; or raise analysis.memory_gb" if config.memory_gb else "")
        )
    return Plan(bytes=max(sampling, streaming))


def token_bytes(pairs: Sequence[Pair], units: Mapping[str, Units], kept: torch.dtype) -> int:
    """Bytes for each token of the sample: both models of the largest pair, and a group of one of them."""
    held = max(units[left].count + units[right].count for left, right in pairs) * kept.itemsize
    widest = max(one.count for one in units.values())
    return held + -(-GROUP_BYTES * widest // block_sample.GROUPS)


def rotation_bytes(
    config: CorrelationConfig, pairs: Sequence[Pair], units: Mapping[str, Units], kept: torch.dtype
) -> int:
    """Bytes of the rotations of all layers, of the models of a pair that are rotated."""
    squares = {name: sum(width**2 for width in one.widths) for name, one in units.items()}
    turned = [pair if config.baseline_of is BaselineOf.all else pair[1:] for pair in pairs]
    return max(4, kept.itemsize) * config.draws * max(sum(squares[name] for name in own) for own in turned)


def streaming_bytes(
    config: CorrelationConfig,
    pairs: Sequence[Pair],
    units: Mapping[str, Units],
    batch_tokens: int,
    kept: torch.dtype,
    device: torch.device,
) -> int:
    """Bytes of a batch of all models, their sums, and the candidates of all pairs."""
    every = sum(one.count for one in units.values())
    followed = sum(units[left].count + units[right].count for left, right in pairs) * config.candidates
    nowhere = torch.device("meta")
    sums = sum(
        BlockSums(one.count, nowhere).bytes + Support(one.count, nowhere).bytes for one in units.values()
    )
    batch = batch_tokens * max(one.count for one in units.values())
    if device.type == "cuda":
        passing = SQUARE_BYTES * min(batch, BlockSums.PARALLEL) + GATHERED_BYTES * followed_pairs.CHUNK
    else:
        passing = SQUARE_BYTES * min(batch, BlockSums.CACHED)
    return batch_tokens * every * kept.itemsize + sums + CANDIDATE_BYTES * followed + passing


def _ways_out(config: CorrelationConfig, fits: int, many_rotations: bool, large_batch: bool) -> str:
    ways = [f"set analysis.sample={fits} or less"] if fits >= FEWEST else []
    if config.gemm is not Gemm.bfloat16:
        ways.append("halve the activations by analysis.gemm=bfloat16")
    if many_rotations:
        ways.append("lower analysis.draws")
    if large_batch:
        ways.append("lower data.batch_size")
    ways.append("use analysis.method=exact, which takes no sample and reads the text several times")
    if config.memory_gb:
        ways.append("raise analysis.memory_gb")
    return "You can " + "; or ".join(ways)
