"""The weights of a transformer in one orientation, raw or as the published tables use them.

Processed weights compute the same function in a canonical form (TransformerLens' conventions, which the
paper uses): gains and biases of layer norms are folded into the weights that read from them, weights that
write to the residual stream are centred over its coordinates, the unembedding is centred over the vocabulary,
and value biases are folded into the output bias. Models with RMS norms have no means to remove, so their
reading and writing weights are folded but not centred.
"""

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from un_lightning.errors import UserError


@dataclass(frozen=True)
class LayerWeights:
    """One transformer block. A neuron or a head is an index of the first axis."""

    w_in: Float[Tensor, "neurons d_model"]
    """What each neuron reads: the gate's weight where the MLP is gated, for its sign decides what passes."""
    b_in: Float[Tensor, " neurons"]
    """Zeros where the layer has no such bias."""
    w_out: Float[Tensor, "neurons d_model"]
    """What each neuron writes."""
    W_Q: Float[Tensor, "heads d_model d_head"]
    W_K: Float[Tensor, "heads d_model d_head"]
    """Heads that share a key are repeated, and the same for values."""
    W_V: Float[Tensor, "heads d_model d_head"]
    W_O: Float[Tensor, "heads d_head d_model"]


@dataclass(frozen=True)
class ModelWeights:
    """All blocks of a model, its embedding and its unembedding."""

    layers: tuple[LayerWeights, ...]
    W_E: Float[Tensor, "vocabulary d_model"]
    W_U: Float[Tensor, "d_model vocabulary"]
    gated: bool
    """Whether the neurons are those of a gated MLP."""
    parallel: bool
    """Whether attention and MLP of a block read the same residual stream, so neither feeds the other."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each layer."""
        return tuple(len(layer.w_in) for layer in self.layers)


@torch.no_grad()
def read_weights(name: str, module: nn.Module, processed: bool) -> ModelWeights:
    """Read the weights of a causal language model through a bridge of TransformerLens.

    The bridge takes a module over and changes it, so it gets a copy, which is gone afterwards. While it is
    built the model's memory is needed about three times.

    Args:
        name: What error messages call the model.
        module: A causal language model of transformers, which stays as it is.
        processed: Fold and centre as the module's docstring says; raw weights otherwise.

    Returns:
        Contiguous tensors on the module's device, none of them shared with it.

    Raises:
        UserError: TransformerLens does not know the architecture, or a layer has no neurons (a mixture of
            experts) or no attention.
    """
    bridge = _bridge(name, module, processed)
    layers = tuple(_layer(name, index, block) for index, block in enumerate(bridge.blocks))
    return ModelWeights(
        layers,
        bridge.W_E.detach().clone(),
        bridge.W_U.detach().clone(),
        gated=getattr(bridge.blocks[0].mlp, "W_gate", None) is not None,
        parallel=bool(getattr(bridge.cfg, "parallel_attn_mlp", False)),
    )


def _bridge(name: str, module: nn.Module, processed: bool) -> Any:
    from transformers import PreTrainedModel

    if not isinstance(module, PreTrainedModel):
        raise UserError(
            f"model '{name}' is no Hugging Face model, so nobody knows which of its weights are neurons: "
            f"weights are read of families with models.source=hub, local or random"
        )
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    own = copy.deepcopy(module)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bridge = build_bridge_from_module(own, type(own).__name__, hf_config=own.config, model_name=name)
            if processed:
                bridge.enable_compatibility_mode(disable_warnings=True)
    except (ValueError, NotImplementedError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"TransformerLens cannot read the weights of '{name}' ({type(module).__name__}): {first}"
        ) from error
    return bridge


def _layer(name: str, index: int, block: Any) -> LayerWeights:
    mlp: Any = getattr(block, "mlp", None)
    attention: Any = getattr(block, "attn", None)
    # The sparse MLP of a mixture of experts has W_in neither under this name nor under another.
    reading = _first(mlp, "W_gate", "W_in")
    if reading is None or _first(mlp, "W_out") is None:
        raise UserError(f"layer {index} of '{name}' has no neurons of its own (is it a mixture of experts?)")
    if _first(attention, "W_Q") is None:
        raise UserError(f"layer {index} of '{name}' has no attention heads with weights of their own")
    bias = _first(mlp, "b_gate" if _first(mlp, "W_gate") is not None else "b_in")
    neurons, heads = reading.shape[1], attention.W_Q.shape[0]
    return LayerWeights(
        w_in=_own(reading.T),
        b_in=torch.zeros(neurons, dtype=reading.dtype, device=reading.device) if bias is None else _own(bias),
        w_out=_own(mlp.W_out),
        W_Q=_own(attention.W_Q),
        W_K=_repeat(attention.W_K, heads),
        W_V=_repeat(attention.W_V, heads),
        W_O=_own(attention.W_O),
    )


def _first(owner: Any, *names: str) -> Tensor | None:
    found = (getattr(owner, name, None) for name in names)
    return next((weight for weight in found if isinstance(weight, Tensor)), None)


def _own(weight: Tensor) -> Tensor:
    return weight.detach().clone(memory_format=torch.contiguous_format)


def _repeat(
    weight: Float[Tensor, "shared d_model d_head"], heads: int
) -> Float[Tensor, "heads d_model d_head"]:
    return _own(weight).repeat_interleave(heads // weight.shape[0], dim=0)
