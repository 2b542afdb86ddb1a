"""A sample of the stream's blocks, held whole: every unit's standardised activations."""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.stats.unit_sums import UnitMoments


GROUPS = 64
"""Groups of blocks whose differences give the errors; more would cost time, fewer make wider bounds."""

ELEMENTS = 1 << 24
"""Activations standardised at a time."""


class BlockSample:
    """Activations of one model on the first blocks of the stream's order, each unit with mean 0, deviation 1.

    The order is a random permutation, so the sample is a simple random sample of the stream's blocks, and so
    is each group of blocks that follow each other.
    """

    def __init__(
        self,
        values: Float[Tensor, "units tokens"],
        moments: UnitMoments,
        excluded: Int[Tensor, " excluded"],
        blocks: int,
        stream_blocks: int,
    ) -> None:
        """Standardise, in place.

        Args:
            values: Shifted activations, block after block.
            moments: Of these activations; invalid units become zeros.
            excluded: Flat indices of the tokens that do not count.
            blocks: Blocks of the sample, all equally long.
            stream_blocks: Blocks of the whole stream, the sample among them.
        """
        self.values = values
        self.moments = moments
        self.count = values.shape[1] - len(excluded)
        self.blocks, self.stream_blocks = blocks, stream_blocks
        scale = torch.where(moments.valid, 1 / moments.deviation, 0.0)
        step = max(1, ELEMENTS // values.shape[1])
        for start in range(0, len(values), step):
            part = slice(start, start + step)
            standard = values[part].double().sub_(moments.mean[part, None]).mul_(scale[part, None])
            values[part] = standard.masked_fill_(~moments.valid[part, None], 0)
        values.index_fill_(1, excluded, 0)
        bounds = np.linspace(0, blocks, min(GROUPS, blocks) + 1).astype(int) * (values.shape[1] // blocks)
        self.groups = [slice(int(start), int(stop)) for start, stop in pairwise(bounds)]
        energies = torch.stack([values[:, group].float().square().sum(1) for group in self.groups])
        self.variance_error = spread(energies.square().sum(0), energies.sum(0), self)
        """Standard error of each unit's mean square, whose estimate is 1."""

    @property
    def remaining(self) -> float:
        """Share of the stream's blocks that the sample lacks: the finite-population correction."""
        return 1 - self.blocks / self.stream_blocks


def spread(squares: Tensor, total: Tensor, sample: BlockSample) -> Tensor:
    """Standard error of a mean over tokens, from its groups' sums.

    Args:
        squares: Σ over groups of the square of a group's sum.
        total: Σ over groups of the group's sum.
        sample: Number of groups and tokens.
    """
    groups = len(sample.groups)
    factor = sample.remaining * groups / (groups - 1)
    return (squares - total.square() / groups).clamp_(min=0).mul_(factor).sqrt_().div_(sample.count)
