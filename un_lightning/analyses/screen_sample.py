"""The sample of a screening run: its size, what it needs, and what it leaves for the pass."""

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from un_lightning.analyses.baselines import draw_seed
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


def check_memory(
    units: Mapping[str, Units], tokens: int, dtype: torch.dtype, draws: int, device: torch.device
) -> None:
    """Refuse a sample that does not fit.

    Args:
        units: Units of every model.
        tokens: Tokens of the sample.
        dtype: Type of the kept activations.
        draws: Rotations of each layer.
        device: Where they are kept.

    Raises:
        UserError: It needs more memory than is free; the message has the figures.
    """
    count = sum(one.count for one in units.values())
    kept = count * tokens * dtype.itemsize
    squares = [sum(width**2 for width in one.widths) for one in units.values()]
    rotations = 4 * draws * sum(sorted(squares)[-2:])
    tile = 4 * 12 * max(width for one in units.values() for width in one.widths) ** 2
    needed, free = kept + rotations + tile, free_memory(device)
    if free is not None and needed > free:
        gigabyte = 1e9
        fits = max(0, int((free - rotations - tile) / (count * dtype.itemsize)))
        raise UserError(
            f"the sample of {tokens:,} tokens needs {needed / gigabyte:.1f} GB ({kept / gigabyte:.1f} GB of "
            f"activations of {count:,} units, {rotations / gigabyte:.1f} GB of rotations, "
            f"{tile / gigabyte:.1f} GB for a tile), and {free / gigabyte:.1f} GB are free on {device}: set "
            f"analysis.sample={fits} or less, analysis.gemm=bfloat16, or take fewer models"
        )


def free_memory(device: torch.device) -> int | None:
    """Free bytes of a device; None where it does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "cpu" and os.path.exists("/proc/meminfo"):
        with open("/proc/meminfo") as file:
            figures = dict(line.split(":") for line in file)
        return int(figures["MemAvailable"].split()[0]) * 1024
    return None


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
        f"screened/{left}/{right}/{name}": tensor.contiguous() for name, tensor in screened._asdict().items()
    }


def unpack(left: str, right: str, known: Mapping[str, Tensor]) -> Screened:
    """The reverse of `pack`."""
    return Screened(**{name: known[f"screened/{left}/{right}/{name}"] for name in Screened._fields})
