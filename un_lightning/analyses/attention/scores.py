"""Scores of all neurons for all heads of later layers (method H)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.attention.choice import Pair
from un_lightning.models.attention import LayerAttention
from un_lightning.stats import bos_scores


@dataclass(frozen=True)
class Scores:
    """How much a neuron's direction raises a head's score of BOS."""

    layers: Sequence[LayerAttention]
    bos: Float[Tensor, "layers d_model"]
    """What each layer's heads read at BOS, with mean 0 and variance 1."""
    mean: Float[Tensor, "layers d_model"]
    """Mean of the same over all other tokens."""

    def directions(self, layer: int) -> dict[str, Float[Tensor, "heads d_model"]]:
        """Directions that raise the score of BOS: `score` its own, `score_shifted` less that of a mean key.

        Attention does not change when all scores rise by the same, so the second is what counts.
        """
        own = self.layers[layer]
        key = torch.einsum("d,hde->he", self.bos[layer].to(own.W_K), own.W_K)
        typical = torch.einsum("d,hde->he", self.mean[layer].to(own.W_K), own.W_K)
        return {
            "score": bos_scores.query_directions(own.W_Q, key + own.bias_k),
            "score_shifted": bos_scores.query_directions(own.W_Q, key - typical),
        }

    def of(self, layer: int) -> dict[str, Float[Tensor, "heads earlier"]]:
        """Scores of the neurons of all earlier layers, one layer after the other."""
        written = [own.w_out for own in self.layers[:layer]]
        directions = self.directions(layer)
        if not written:
            return {name: rows.new_zeros(len(rows), 0) for name, rows in directions.items()}
        return {name: bos_scores.scores(torch.cat(written), rows) for name, rows in directions.items()}

    def of_pair(self, pair: Pair) -> dict[str, float]:
        """Scores of one neuron for one head."""
        written = self.layers[pair.layer].w_out[pair.neuron][None]
        directions = self.directions(pair.head_layer)
        return {
            name: float(bos_scores.scores(written, rows[pair.head][None]))
            for name, rows in directions.items()
        }

    def null(self, layer: int, count: int, seed: int) -> dict[str, Float[Tensor, "heads directions"]]:
        """Scores of random directions without a mean, as neurons have none."""
        generator = torch.Generator().manual_seed(seed)
        width = self.bos.shape[1]
        random = torch.randn(count, width, generator=generator).to(self.layers[0].w_out)
        random = random - random.mean(1, keepdim=True)
        return {name: bos_scores.scores(random, rows) for name, rows in self.directions(layer).items()}

    def strongest(
        self, count: int, deviation: Float[Tensor, " neurons"], sway: Float[Tensor, "layers heads"]
    ) -> list[Pair]:
        """The pairs with the largest foreseen effects, positive and negative by turns.

        To first order a neuron changes the attention p to BOS by p (1 - p) a ‖w_out‖ score / σ.

        Args:
            count: How many pairs.
            deviation: Standard deviation of the activation a of every neuron.
            sway: p (1 - p) / σ of every head, with σ the scale of its layer norm.
        """
        size = torch.cat([own.w_out.norm(dim=1) for own in self.layers]) * deviation
        tables = []
        for layer in range(len(self.layers)):
            table = self.of(layer)["score_shifted"]
            tables.append(table * size[: table.shape[1]] * sway[layer, :, None])
        starts = [0, *accumulate(len(own.w_out) for own in self.layers)]
        chosen = []
        for head_layer, head, flat in bos_scores.strongest_pairs(tables, count):
            layer = max(index for index, start in enumerate(starts[:-1]) if start <= flat)
            chosen.append(Pair(layer, flat - starts[layer], head_layer, head))
        return chosen
