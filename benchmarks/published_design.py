"""The published scripts' way to correlations, stated anew, as something to be faster than."""

import itertools
from functools import partial
from typing import Any

import psutil
import torch
from random_models import plain_modules
from torch import Tensor
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from un_lightning.config import Baseline, Site
from un_lightning.data.loader import Batch
from un_lightning.models.family import Family
from un_lightning.stats.rotation import random_matrix


SHARE = 0.8
"""Of the host's free memory that the arrays may take."""


class PublishedDesign:
    """Every pair by itself: both models run, layer products go to a float64 array on the host, twice.

    The second time the other model's activations are rotated, for the baseline. Models run by TransformerLens
    with hooks, up to the unembedding; activations are kept by layer, put together as [layer, neuron, token],
    and the counted tokens picked; each layer of one model is multiplied with each of the other in float32 and
    added to [layer, neuron, layer, neuron]; sums and sums of squares are taken of both models every time. On
    CUDA the activations are kept in half precision, as published; on the CPU, where that is slow, in float32.
    """

    def __init__(self, family: Family, device: torch.device) -> None:
        self.family = family
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self.models: dict[str, Any] = {
            name: build_bridge_from_module(
                module, type(module).__name__, hf_config=module.config, model_name=name
            )
            for name, module in plain_modules(family).items()
        }
        units = {name: model.units(Site.mlp_post).widths for name, model in family.models.items()}
        mine = units[family.reference]
        zeros = partial(torch.zeros, dtype=torch.float64)
        turns = [(name, turn) for name in units for turn in range(2) if name != family.reference]
        self.totals = {one: zeros(len(mine), mine[0], len(units[one[0]]), units[one[0]][0]) for one in turns}
        self.sums = {one: [zeros(len(mine), mine[0]) for _ in range(4)] for one in turns}
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
            left, right = self._activations(self.family.reference, batch), self._activations(name, batch)
            if turn:
                rotated = zip(right, self.matrices, strict=True)
                right = torch.stack([matrix @ layer.float() for layer, matrix in rotated])
            for (i, one), j in itertools.product(enumerate(left), range(len(right))):
                total[i, :, j, :] += (one.float() @ right[j].float().T).cpu()
            powers = left.sum(-1), (left**2).sum(-1), right.sum(-1), (right**2).sum(-1)
            for value, power in zip(self.sums[name, turn], powers, strict=True):
                value += power.cpu()

    def _activations(self, name: str, batch: Batch) -> Tensor:
        """Activations [layer, neuron, token] of the counted tokens."""
        kept: dict[int, Tensor] = {}
        layers = len(self.family.models[name].units(Site.mlp_post).widths)
        hooks = [
            (f"blocks.{layer}.mlp.hook_post", partial(self._keep, kept, layer)) for layer in range(layers)
        ]
        bridge = self.models[name]
        with bridge.hooks(fwd_hooks=hooks):
            bridge.original_model.base_model(input_ids=batch.tokens, use_cache=False)
        every = torch.stack([kept[layer] for layer in range(layers)], dim=2)
        by_token = every.permute(2, 3, 0, 1).flatten(2)
        return by_token[:, :, batch.counted.flatten()]

    def _keep(self, kept: dict[int, Tensor], layer: int, activation: Tensor, hook: Any) -> None:  # noqa: ARG002
        kept[layer] = activation.detach().to(self.dtype)
