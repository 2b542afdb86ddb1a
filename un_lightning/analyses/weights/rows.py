"""What is found out about the neurons of one layer from the weights of their model (method C.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from un_lightning.config import WeightsConfig
from un_lightning.models.weights import LayerWeights, ModelWeights
from un_lightning.stats.cosines import CosineSummary
from un_lightning.stats.head_composition import head_composition


NORMS = ("w_in_norm", "input_bias", "w_out_norm", "in_out_sim", "l2_penalty")
MOMENTS = ("mean", "var", "skew", "kurt")
VOCABULARY_KINDS = ("e_in", "u_in", "e_out", "u_out")
"""Embedding or unembedding of a token, with what a neuron reads or writes."""
NEURON_KINDS = ("in_in", "in_out", "out_in", "out_out")
"""What a neuron reads or writes, with what another reads or writes: `in_out` looks upstream."""
HEAD_KINDS = ("q_comp", "k_comp", "v_comp", "o_comp")

Shapes = dict[str, tuple[tuple[int, ...], torch.dtype]]


@dataclass(frozen=True)
class LayerRows:
    """Computes rows of tensors, one row a neuron."""

    config: WeightsConfig
    tokens: Bool[Tensor, " vocabulary"]
    """Rows of the embedding that count."""
    frequency: Float64[Tensor, " vocabulary"] | None
    """Share of each token in some text."""

    def shapes(self, weights: ModelWeights) -> Shapes:
        """Shape of a row and type of every tensor that `compute` gives."""
        config, wide = self.config, torch.float64
        shapes: Shapes = {"norms": ((len(NORMS),), wide)}
        kinds = dict.fromkeys(VOCABULARY_KINDS, config.top_tokens)
        kinds |= dict.fromkeys(NEURON_KINDS, config.top_neurons) if config.neurons else {}
        for kind, top_k in kinds.items():
            shapes[f"{kind}.moments"] = ((len(MOMENTS),), wide)
            if self.frequency is not None and kind in VOCABULARY_KINDS:
                shapes[f"{kind}.weighted"] = ((len(MOMENTS),), wide)
            for side in ("best", "worst"):
                shapes[f"{kind}.{side}"] = ((top_k,), weights.W_E.dtype)
                shapes[f"{kind}.{side}_index"] = ((top_k,), torch.int64)
            shapes[f"{kind}.histogram"] = ((config.bins,), torch.int32)
        if config.attention:
            heads = sum(len(layer.W_Q) for layer in weights.layers)
            shapes["heads"] = ((len(HEAD_KINDS), heads), weights.W_E.dtype)
        return shapes

    def compute(self, weights: ModelWeights, layer: int) -> dict[str, Tensor]:
        """Everything about the neurons of one layer."""
        found = {"norms": norms(weights.layers[layer])}
        for kind in VOCABULARY_KINDS:
            found |= self._vocabulary(weights, layer, kind)
        if self.config.neurons:
            for kind in NEURON_KINDS:
                found |= self._neurons(weights, layer, kind)
        if self.config.attention:
            own = weights.layers[layer]
            composed = [
                torch.stack(head_composition(own.w_in, own.w_out, other.W_Q, other.W_K, other.W_V, other.W_O))
                for other in weights.layers
            ]
            found["heads"] = torch.cat(composed, dim=2).transpose(0, 1)
        return found

    def _vocabulary(self, weights: ModelWeights, layer: int, kind: str) -> dict[str, Tensor]:
        table, side = kind.split("_")
        summary = self._summary(weights.layers[layer], side, self.config.top_tokens, self.frequency)
        summary.update(weights.W_E if table == "e" else weights.W_U.T, self.tokens)
        found = _tensors(kind, summary)
        if self.frequency is not None:
            found[f"{kind}.weighted"] = torch.stack([*summary.weighted_moments().values()], dim=1)
        return found

    def _neurons(self, weights: ModelWeights, layer: int, kind: str) -> dict[str, Tensor]:
        mine, theirs = kind.split("_")
        summary = self._summary(weights.layers[layer], mine, self.config.top_neurons)
        for index, other in enumerate(weights.layers):
            summary.update(_side(other, theirs), own=index == layer)
        return _tensors(kind, summary)

    def _summary(
        self, layer: LayerWeights, side: str, top_k: int, frequency: Tensor | None = None
    ) -> CosineSummary:
        return CosineSummary(_side(layer, side), top_k, self.config.bins, self.config.tile, frequency)


def norms(layer: LayerWeights) -> Float64[Tensor, "neurons five"]:
    """The columns of `NORMS`: ‖w_in‖, b_in, ‖w_out‖, cos(w_in, w_out), ‖w_in‖² + ‖w_out‖².

    The cosine is NaN where a vector is zero.
    """
    w_in, w_out = layer.w_in.double(), layer.w_out.double()
    squares_in, squares_out = w_in.square().sum(1), w_out.square().sum(1)
    cosine = (w_in * w_out).sum(1) / (squares_in * squares_out).sqrt()
    columns = (squares_in.sqrt(), layer.b_in.double(), squares_out.sqrt(), cosine, squares_in + squares_out)
    return torch.stack(columns, dim=1)


def _side(layer: LayerWeights, side: str) -> Tensor:
    return layer.w_in if side == "in" else layer.w_out


def _tensors(kind: str, summary: CosineSummary) -> dict[str, Tensor]:
    """A summary as tensors of one row a neuron; a row without a direction has NaN and no partners."""
    rows = summary.summary
    hide: Callable[[Tensor, float], Tensor] = lambda value, filler: torch.where(
        summary.valid[:, None], value, filler
    )
    return {
        f"{kind}.moments": torch.stack([*summary.moments().values()], dim=1),
        f"{kind}.best": hide(rows.best, torch.nan),
        f"{kind}.best_index": hide(rows.best_index, -1),
        f"{kind}.worst": hide(-rows.worst, torch.nan),
        f"{kind}.worst_index": hide(rows.worst_index, -1),
        f"{kind}.histogram": hide(rows.histogram, 0),
    }
