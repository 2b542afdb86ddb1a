"""What turns a final residual into logits, as plain matrices: the last norm and the unembedding.

With them one forward pass answers for many changes of the final residual: logits are linear in the normalised
residual, and the norm's scale is the root of a quadratic form (method G, closed form).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.sites import find_component


_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-3}
"""Relative difference above which a module computes something else than expected. Rounding is far below; the
RMS norms of transformers compute in float32, whatever the model's type."""


@dataclass(frozen=True)
class Head:
    """logits = cap(factor · ((x / scale(x)) · gain · W_U + bias)) for the centred residual x.

    `centred` norms (layer norms) subtract the mean over coordinates first, root-mean-square norms do not.
    """

    norm: nn.Module
    W: Float[Tensor, "d_model vocabulary"]
    """gain · W_U · factor."""
    bias: Float[Tensor, " vocabulary"] | None
    """What the norm's bias and the unembedding's add to every token's logit; None where they add nothing."""
    centred: bool
    epsilon: float
    softcap: float | None
    """Logits are `softcap` · tanh(logits / `softcap`)."""

    def centre(self, residual: Float[Tensor, "*shape d_model"]) -> Float[Tensor, "*shape d_model"]:
        """The residual as the norm scales it."""
        return residual - residual.mean(-1, keepdim=True) if self.centred else residual

    def scale(self, centred: Float[Tensor, "*shape d_model"]) -> Float[Tensor, "*shape"]:
        """The number that the norm divides by: sqrt(mean x² + epsilon)."""
        return (centred.square().mean(-1) + self.epsilon).sqrt()

    def logits(self, normalised: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows vocabulary"]:
        """Logits of centred residuals that are divided by their scale."""
        if self.bias is None:
            return self.cap(normalised @ self.W)
        return self.cap(torch.addmm(self.bias, normalised, self.W))

    def cap(self, logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Bound logits, in place, where the model does."""
        return logits if self.softcap is None else logits.div_(self.softcap).tanh_().mul_(self.softcap)


@torch.no_grad()
def read_head(model: FrozenModel) -> Head:
    """Read the final norm and the unembedding of a model, and try them on a few tokens.

    Args:
        model: A causal language model of transformers.

    Returns:
        Matrices on the device on which the model is now.

    Raises:
        UserError: The model is of another kind, or its logits are not what final norm and unembedding give.
    """
    from transformers import PreTrainedModel

    module: Any = model.module
    if not isinstance(module, PreTrainedModel):
        raise UserError(f"model '{model.name}' is no Hugging Face model, so nobody knows how it makes logits")
    norm = find_component(model.name, module, "ln_final")
    unembedding: Any = module.get_output_embeddings()
    if norm is None or unembedding is None:
        raise UserError(f"model '{model.name}' ({type(module).__name__}) has no final norm or no unembedding")
    count = min(8, model.context or 8, model.vocabulary or 8)
    tokens = torch.arange(count, device=unembedding.weight.device)[None]
    residual, expected = _final(model, norm, tokens)
    if not torch.isfinite(expected).all():
        raise UserError(
            f"the predictions of '{model.name}' are not finite: an activation overflows, or training diverged"
        )
    centred, epsilon, gain, shift = _probe(model.name, norm, residual)
    weight, own_bias = unembedding.weight, getattr(unembedding, "bias", None)
    bias = shift @ weight.T if own_bias is None else shift @ weight.T + own_bias
    softcap = getattr(module.config.get_text_config(), "final_logit_softcapping", None)
    W = (weight * gain).T.contiguous()
    head = Head(norm, W, bias, centred, epsilon, None)
    x = head.centre(residual)
    found = head.logits(x / head.scale(x)[:, None])
    plain = expected if softcap is None else softcap * torch.atanh(expected / softcap)
    factor = float((found * plain).sum() / found.square().sum())  # Cohere's and Granite's logits have one
    if abs(factor - 1) > 1e-3:
        found, W, bias = found * factor, W * factor, bias * factor
    if not _close(found, plain):
        raise UserError(
            f"the logits of '{model.name}' ({type(module).__name__}) are not what its final norm and its "
            "unembedding give, so changes of the residual stream cannot be followed to them"
        )
    return Head(norm, W, bias if bias.any() else None, centred, epsilon, softcap)


def _final(model: FrozenModel, norm: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Final residuals and logits of all tokens, as the model itself computes them."""
    seen: list[Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    try:
        logits = model.module(input_ids=tokens, use_cache=False).logits
    finally:
        handle.remove()
    if len(seen) != 1:
        raise UserError(f"the final norm of '{model.name}' runs {len(seen)} times in a forward, not once")
    return seen[0].flatten(0, -2), logits.flatten(0, -2)


def _probe(name: str, norm: Any, residual: Tensor) -> tuple[bool, float, Tensor, Tensor]:
    """Find out what a norm computes from what it does: centring, epsilon, gain and bias."""
    names = ("eps", "variance_epsilon", "epsilon")
    epsilon = next((float(getattr(norm, key)) for key in names if hasattr(norm, key)), 0.0)
    shift = norm(torch.zeros_like(residual[:1]))[0]
    generator = torch.Generator().manual_seed(0)
    random = 1 + torch.randn(2, residual.shape[1], generator=generator, dtype=torch.float64).to(residual)
    for centred in (True, False):
        x = random - random.mean(1, keepdim=True) if centred else random
        x = x / (x.square().mean(1, keepdim=True) + epsilon).sqrt()
        answer = norm(random) - shift
        gain = (answer * x).sum(0) / x.square().sum(0)  # two equations for each coordinate's one unknown
        if _close(x * gain, answer):
            return centred, epsilon, gain, shift
    raise UserError(f"the final norm of '{name}' ({type(norm).__name__}) is no layer norm and no RMS norm")


def _close(found: Tensor, expected: Tensor) -> bool:
    tolerance = _TOLERANCE.get(found.dtype, 1e-2)
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())
