"""What turns activations into the latents of a sparse autoencoder or transcoder."""

from dataclasses import dataclass, fields
from enum import StrEnum

import torch
from jaxtyping import Float
from torch import Tensor, nn

from un_lightning.errors import UserError
from un_lightning.models.sparse.place import Place


class Norm(StrEnum):
    """What happens to an activation before it is encoded."""

    none = "none"
    layer_norm = "layer_norm"
    """Mean 0 and standard deviation 1 (n − 1) over its coordinates, as SAELens does."""
    constant_norm_rescale = "constant_norm_rescale"
    """Length √(coordinates)."""
    model_norm = "model_norm"
    """As the model's own norm before the MLP does it, without that norm's weights."""


class Rule(StrEnum):
    """How pre-activations become latents; all but `gated` begin with W x + b."""

    relu = "relu"
    tanh_relu = "tanh-relu"
    jump = "jump"
    """The pre-activation where it is above the latent's threshold, 0 elsewhere, and never below 0."""
    topk = "topk"
    """The k largest of a token; below 0 they count as 0 unless `signed`."""
    groupmax = "groupmax"
    """The largest of each of k groups of neighbouring latents."""
    gated = "gated"
    """A magnitude where a gate of its own opens."""


@dataclass(frozen=True)
class Encoding:
    """The tensors and the rule of an encoder, in float32; `SparseEncoder` checks their shapes."""

    weight: Tensor
    """[inputs, latents]"""
    bias: Tensor
    """[latents], of the pre-activation; where the rule is gated, of the gate."""
    rule: Rule
    centre: Tensor | None = None
    """[inputs], subtracted from them."""
    threshold: Tensor | None = None
    """[latents]"""
    magnitude: tuple[Tensor, Tensor] | None = None
    """Log of the magnitude's scale [latents], and its bias [latents], where the rule is gated."""
    before: Tensor | None = None
    """Factors of the pre-activations [latents], by which the largest are chosen."""
    after: Tensor | None = None
    """Factors of the latents [latents]."""
    k: int = 0
    signed: bool = False
    norm: Norm = Norm.none
    centred: bool = False
    """Whether the mean over coordinates is taken out first (a model with centred writing weights)."""


_TENSORS = (
    "weight", "bias", "centre", "threshold", "before", "after", "magnitude_scale", "magnitude_bias",
)  # fmt: skip


class SparseEncoder(nn.Module):
    """Latents of one encoder.

    Attributes:
        place: Where its inputs pass.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor | None
    threshold: Tensor | None
    before: Tensor | None
    after: Tensor | None
    magnitude_scale: Tensor | None
    magnitude_bias: Tensor | None

    def __init__(self, name: str, encoding: Encoding, place: Place) -> None:
        """Check and keep an encoding.

        Args:
            name: What error messages call it.
            encoding: Tensors and rule.
            place: Where its inputs pass.

        Raises:
            UserError: A tensor holds NaN or infinity or has another shape than the others, or k does not fit.
        """
        super().__init__()
        self.name, self.place = name, place
        inputs, latents = encoding.weight.shape
        self.latents = latents
        self.rule, self.norm = encoding.rule, encoding.norm
        self.k, self.signed, self.centred = encoding.k, encoding.signed, encoding.centred
        self.eps = 1e-5
        """Of the model's own norm, set by the model that the encoder belongs to."""
        self.mean_free = True
        """Whether the model's own norm takes the mean out, as a layer norm does and an RMS norm does not."""
        if self.rule in (Rule.topk, Rule.groupmax) and not 0 < self.k <= latents:
            raise UserError(f"{name} keeps k={self.k} of {latents} latents, which is not possible")
        if self.rule is Rule.groupmax and latents % self.k:
            raise UserError(f"{name} has {latents} latents, which k={self.k} groups do not divide")
        scale, bias = encoding.magnitude or (None, None)
        tensors = {field.name: getattr(encoding, field.name) for field in fields(encoding)}
        tensors = {key: value for key, value in tensors.items() if isinstance(value, Tensor)}
        tensors |= {"magnitude_scale": scale, "magnitude_bias": bias}
        for key in _TENSORS:
            value = tensors.get(key)
            if value is not None:
                shape = {"weight": (inputs, latents), "centre": (inputs,)}.get(key, (latents,))
                if tuple(value.shape) != shape:
                    raise UserError(f"{name}: its {key} is {list(value.shape)}, but should be {list(shape)}")
                if not bool(torch.isfinite(value).all()):
                    raise UserError(f"{name}: its {key} holds NaN or infinity")
                value = value.float().contiguous()
            self.register_buffer(key, value)

    def forward(self, values: Float[Tensor, "*tokens inputs"]) -> Float[Tensor, "*tokens latents"]:
        """Latents of activations, in their type.

        Raises:
            UserError: The activations have another width than the encoder's inputs.
        """
        if values.shape[-1] != len(self.weight):
            raise UserError(
                f"the encoder for {self.place} takes {len(self.weight)} inputs, but "
                f"{values.shape[-1]} pass there: it was trained on another model"
            )
        inputs = self._normalised(values.to(self.weight.dtype))
        if self.centre is not None:
            inputs = inputs - self.centre
        found = self._gated(inputs) if self.rule is Rule.gated else self._ruled(inputs)
        return (found if self.after is None else found * self.after).to(values.dtype)

    def _gated(self, inputs: Float[Tensor, "*tokens inputs"]) -> Float[Tensor, "*tokens latents"]:
        assert self.magnitude_scale is not None
        assert self.magnitude_bias is not None
        shared = inputs @ self.weight
        return (shared * self.magnitude_scale.exp() + self.magnitude_bias).relu() * (shared + self.bias > 0)

    def _ruled(self, inputs: Float[Tensor, "*tokens inputs"]) -> Float[Tensor, "*tokens latents"]:
        found = inputs @ self.weight + self.bias
        if self.rule is Rule.jump:
            assert self.threshold is not None
            return found.relu() * (found > self.threshold)
        if self.rule is Rule.topk:
            found = found if self.before is None else found * self.before
            best, where = (found if self.signed else found.relu()).topk(self.k, dim=-1)
            return torch.zeros_like(found).scatter_(-1, where, best)
        found = found.relu()
        if self.rule is Rule.groupmax:
            best, where = found.unflatten(-1, (self.k, -1)).max(-1)
            where = where + torch.arange(self.k, device=where.device) * (self.latents // self.k)
            return torch.zeros_like(found).scatter_(-1, where, best)
        return found.tanh() if self.rule is Rule.tanh_relu else found

    def _normalised(self, values: Float[Tensor, "*tokens inputs"]) -> Float[Tensor, "*tokens inputs"]:
        if self.centred:
            values = values - values.mean(-1, keepdim=True)
        if self.norm is Norm.layer_norm:
            values = values - values.mean(-1, keepdim=True)
            return values / (values.std(-1, keepdim=True) + 1e-5)
        if self.norm is Norm.constant_norm_rescale:
            return values * (values.shape[-1] ** 0.5 / values.norm(dim=-1, keepdim=True))
        if self.norm is Norm.model_norm:
            values = values - values.mean(-1, keepdim=True) if self.mean_free else values
            return values * (values.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return values
