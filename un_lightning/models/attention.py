"""The weights of attention heads, with layer norms folded in, for recomputing attention outside the model."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from un_lightning.errors import UserError


@dataclass(frozen=True)
class LayerAttention:
    """One block: what its heads read and write, and what its neurons write.

    Gain and bias of the layer norm are folded into W_Q, W_K and W_V, so they act on a residual stream with
    mean 0 and variance 1. What is written has no mean over the residual stream. Value biases are left out:
    they add the same to a head's output whatever it attends to. Where the model divides its scores by more
    than the root of d_head (the GPT-2s of Stanford: also by the layer's number, from 1), W_Q and its bias do.
    """

    W_Q: Float[Tensor, "heads d_model d_head"]
    bias_q: Float[Tensor, "heads d_head"]
    W_K: Float[Tensor, "heads d_model d_head"]
    bias_k: Float[Tensor, "heads d_head"]
    W_V: Float[Tensor, "heads d_model d_head"]
    W_O: Float[Tensor, "heads d_head d_model"]
    eps: float
    """Added to the variance by the layer norm."""
    w_out: Float[Tensor, "neurons d_model"]
    score_scale: float = 1.0
    """What W_Q and its bias were multiplied by so that scores are those of the model."""

    @property
    def heads(self) -> int:
        """How many heads there are."""
        return len(self.W_Q)


def check_attention(name: str, module: nn.Module) -> None:
    """Refuse models whose attention cannot be recomputed.

    Raises:
        UserError: The model is no GPT-2, or a GPT-2 that does not scale its scores by the head's width.
    """
    config = getattr(module, "config", None)
    kind = getattr(config, "model_type", None)
    if kind != "gpt2":
        what = f"'{kind}'" if kind else type(module).__name__
        raise UserError(
            f"the attention analysis recomputes the attention of GPT-2, whose keys do not depend on the "
            f"distance; model '{name}' is {what}, and rotary or other attention would give wrong numbers"
        )
    if not getattr(config, "scale_attn_weights", True):
        raise UserError(
            f"the attention analysis needs scores scaled by the square root of the head's width, but "
            f"model '{name}' has scale_attn_weights=False"
        )


@torch.no_grad()
def read_attention(name: str, module: nn.Module) -> tuple[LayerAttention, ...]:
    """Read all blocks of a GPT-2, in float32 or, where the model is, in float64.

    Raises:
        UserError: The attention of such a model cannot be recomputed.
    """
    check_attention(name, module)
    model: Any = module
    by_layer = getattr(model.config, "scale_attn_by_inverse_layer_idx", False)
    return tuple(
        _layer(block, model.config.n_head, 1 / (layer + 1) if by_layer else 1.0)
        for layer, block in enumerate(model.base_model.h)
    )


@torch.no_grad()
def embed(
    module: nn.Module, tokens: Int[Tensor, "batch position"]
) -> Float[Tensor, "batch position d_model"]:
    """The residual stream that the first block of a GPT-2 reads."""
    trunk: Any = module
    trunk = trunk.base_model
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return trunk.wte(tokens) + trunk.wpe(places)


def _layer(block: Any, heads: int, score_scale: float) -> LayerAttention:
    gain, bias = _wide(block.ln_1.weight), _wide(block.ln_1.bias)
    reading, offset = _wide(block.attn.c_attn.weight), _wide(block.attn.c_attn.bias)  # [in, out]
    folded = gain[:, None] * reading
    folded = folded - folded.mean(0)  # what is read has no mean
    offset = offset + bias @ reading
    width = len(gain)
    split = lambda part: part.view(width, heads, -1).transpose(0, 1).contiguous()
    W_Q, W_K, W_V = (split(part.contiguous()) for part in folded.split(width, dim=1))
    bias_q, bias_k, _ = (part.view(heads, -1) for part in offset.split(width))
    written = _wide(block.attn.c_proj.weight)
    W_O = (written - written.mean(1, keepdim=True)).view(heads, -1, width)
    w_out = _wide(block.mlp.c_proj.weight)
    return LayerAttention(
        W_Q=score_scale * W_Q,
        bias_q=score_scale * bias_q,
        W_K=W_K,
        bias_k=bias_k,
        W_V=W_V,
        W_O=W_O,
        eps=float(block.ln_1.eps),
        w_out=w_out - w_out.mean(1, keepdim=True),
        score_scale=score_scale,
    )


def _wide(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.float64 if weight.dtype == torch.float64 else torch.float32)
