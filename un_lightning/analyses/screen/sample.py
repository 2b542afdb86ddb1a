"""The sample of a screening run: its size, whose comes when, and what it leaves for the pass."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from un_lightning.analyses.correlation.baselines import draw_seed
from un_lightning.analyses.correlation.row_blocks import Pair
from un_lightning.config import Baseline, CorrelationConfig
from un_lightning.errors import UserError
from un_lightning.models.units import Units
from un_lightning.stats.block_sample import BlockSample
from un_lightning.stats.rotation import random_matrix
from un_lightning.stats.screening import Screened, ScreeningSide, standardised_rotations


SHARE, FEWEST, MOST = 0.02, 16_384, 131_072
"""Share of the stream's tokens that is sampled unless the config says otherwise, and its limits in tokens."""

FEWEST_BLOCKS = 8
"""Fewer blocks say too little about the differences between blocks."""


def sample_blocks(config: CorrelationConfig, tokens: int, context: int) -> int:
    """Blocks of the sample.

    Args:
        config: Tokens of the sample, or None.
        tokens: Tokens of the stream.
        context: Tokens a block.

    Raises:
        UserError: The sample would have too few blocks.
    """
    wanted = config.sample or min(max(int(SHARE * tokens), FEWEST), MOST)
    blocks = min(-(-wanted // context), tokens // context)
    if blocks < FEWEST_BLOCKS:
        raise UserError(
            f"a sample of {blocks} blocks says too little about the stream: set analysis.sample to "
            f"{FEWEST_BLOCKS * context:,} tokens or more (data.tokens={tokens:,}), or analysis.method=exact"
        )
    return blocks


def in_turn(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs in an order in which each shares a model with the one before it, as far as there are such.

    Two models' samples are then enough at a time, and each pair but the first needs one further sample.
    """
    waiting = list(pairs)
    ordered = [waiting.pop(0)]
    while waiting:
        held = {*ordered[-1]}
        following = next((pair for pair in waiting if not held.isdisjoint(pair)), waiting[0])
        waiting.remove(following)
        ordered.append(following)
    return ordered


def screening_side(
    sample: BlockSample, units: Units, config: CorrelationConfig, seed: int, rotated: bool = True
) -> ScreeningSide:
    """A model's sample with the same rotations that the exact method draws.

    Args:
        sample: The sample.
        units: Units of the model.
        config: Kind of baseline and number of draws.
        seed: Seed of the run.
        rotated: Whether other models' units are compared with rotated units of this one.
    """
    layers = units.layer_slices()
    device = sample.values.device
    dtype = torch.float64 if sample.values.dtype == torch.float64 else torch.float32
    standardise = config.baseline is Baseline.rotation_z
    rotations = []
    for layer, columns in enumerate(layers):
        draws = range(config.draws if rotated else 0)
        seeds = [draw_seed(seed, units.model, layer, draw) for draw in draws]
        width = units.widths[layer]
        matrices = (random_matrix(config.baseline, width, own, device, dtype) for own in seeds)
        rotations.append(standardised_rotations(matrices, sample, columns, standardise))
    return ScreeningSide(sample, layers, rotations)


def pack(left: str, right: str, screened: Screened) -> dict[str, Tensor]:
    """What is known about the units of one model against another, as tensors to be saved."""
    return {
        f"screened/{left}/{right}/{name}": tensor.contiguous().cpu()
        for name, tensor in screened._asdict().items()
    }


def unpack(left: str, right: str, known: Mapping[str, Tensor]) -> Screened:
    """The reverse of `pack`."""
    return Screened(**{name: known[f"screened/{left}/{right}/{name}"] for name in Screened._fields})
