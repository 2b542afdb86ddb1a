"""The published scripts' way to correlations, stated anew, as something to be faster than."""

import itertools

import numpy as np
import psutil
import torch

from un_lightning.config import Baseline, Site
from un_lightning.data.loader import Batch
from un_lightning.models.family import Family
from un_lightning.stats.rotation import random_matrix


SHARE = 0.8
"""Of the host's free memory that the arrays may take."""


class PublishedDesign:
    """Every pair by itself: both models run, layer products go to a float64 array on the host, twice.

    The second time the other model's activations are rotated, for the baseline. Only products and forward
    passes are stated; the files in between are not.
    """

    def __init__(self, family: Family, device: torch.device) -> None:
        self.family = family
        units = {name: model.units(Site.mlp_post).widths for name, model in family.models.items()}
        mine = units[family.reference]
        self.totals = {
            (name, turn): np.zeros((len(mine), len(theirs), mine[0], theirs[0]))
            for name, theirs in units.items()
            for turn in range(2)
            if name != family.reference
        }
        self.matrices = [
            random_matrix(Baseline.gaussian_rows, width, seed, device) for seed, width in enumerate(mine)
        ]

    @staticmethod
    def fits(family: Family) -> bool:
        """Whether the host holds the arrays of all pairs."""
        counts = [model.units(Site.mlp_post).count for model in family.models.values()]
        pairs = (len(counts) - 1) * counts[0] ** 2
        return 2 * 8 * pairs < SHARE * psutil.virtual_memory().available

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """One batch of every pair, plain and rotated."""
        for (name, turn), total in self.totals.items():
            left = self._layers(self.family.reference, batch)
            right = self._layers(name, batch)
            if turn:
                right = [layer @ matrix.T for layer, matrix in zip(right, self.matrices, strict=True)]
            for (i, one), (j, other) in itertools.product(enumerate(left), enumerate(right)):
                total[i, j] += (one.T @ other).cpu().numpy()

    def _layers(self, name: str, batch: Batch) -> list[torch.Tensor]:
        kept: dict[int, torch.Tensor] = {}
        sink = lambda layer, values: kept.__setitem__(layer, values.flatten(0, 1).clone())
        self.family.models[name].run(batch.tokens, {Site.mlp_post: sink})
        return [kept[layer] for layer in range(len(kept))]
