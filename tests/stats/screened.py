"""Screening a sample of planted activations, as the analysis does."""

import numpy as np
import torch

from tests.stats.planted import planted
from un_lightning.config import Baseline
from un_lightning.stats.block_sample import BlockSample
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.rotation import random_matrix
from un_lightning.stats.screening import ScreeningSide, standardised_rotations


CPU = torch.device("cpu")
CONTEXT = 16


class Model:
    """One model's activations on all blocks, and the sample that the analysis would take."""

    def __init__(self, values, widths, blocks, sampled, seed, draws=2, excluded=(), dtype=torch.float32):
        self.shift = values[: 4 * CONTEXT].mean(0)
        self.values = (values - self.shift).T.to(dtype).contiguous()
        self.excluded = torch.tensor(excluded, dtype=torch.long)
        self.values.index_fill_(1, self.excluded, 0)
        self.whole = BlockSums(len(self.values), CPU)
        self.whole.add(self.values, blocks, values.shape[0] - len(excluded))
        inside = self.excluded[self.excluded < sampled * CONTEXT]
        kept = self.values[:, : sampled * CONTEXT].clone()
        sums, count = BlockSums(len(kept), CPU), kept.shape[1] - len(inside)
        sums.add(kept, sampled, count)
        sample = BlockSample(kept, sums.moments(count, self.shift), inside, sampled, blocks)
        bounds = np.cumsum([0, *widths]).tolist()
        layers = [slice(start, stop) for start, stop in zip(bounds, bounds[1:], strict=False)]
        self.matrices = [
            [
                random_matrix(Baseline.rotation, width, 100 * seed + 10 * layer + draw, CPU)
                for draw in range(draws)
            ]
            for layer, width in enumerate(widths)
        ]
        rotations = [
            standardised_rotations(matrices, sample, layer, standardise=False)
            for layer, matrices in zip(layers, self.matrices, strict=True)
        ]
        self.side = ScreeningSide(sample, layers, rotations)

    def moments(self, count):
        return self.whole.moments(count, self.shift)


def pair(blocks, sampled, widths=((24, 24), (32,)), seed=0, **settings):
    left, right = planted(blocks, CONTEXT, *widths, seed=seed)
    models = [
        Model(values, width, blocks, sampled, number, **settings)
        for number, (values, width) in enumerate(zip((left, right), widths, strict=True))
    ]
    return left, right, *models


def follow(pairs, left, right, batch):
    for start in range(0, left.values.shape[1], batch):
        part = slice(start, start + batch)
        pairs.add(left.values[:, part].contiguous(), right.values[:, part].contiguous())
    return pairs


def matches(pairs, side, values):
    """Best correlation and partner of each unit."""
    best, slot = pairs.of_candidates(side, values).max(1)
    return best.numpy(), pairs.sides[side].partner.gather(1, slot[:, None])[:, 0].numpy()
