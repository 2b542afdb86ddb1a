"""Sparse autoencoders as units: the encoders of local folders in SAELens' format.

A folder holds `cfg.json` and `sae_weights.safetensors`. Only what turns activations into latents is read;
SAELens itself is not needed, and cannot be installed beside the TransformerLens that this project uses.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from un_lightning.config import Site
from un_lightning.errors import UserError


CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_NEEDS = {
    "standard": ("W_enc", "b_enc", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "b_dec", "threshold"),
    "topk": ("W_enc", "b_enc", "b_dec", "W_dec"),
    "gated": ("W_enc", "b_gate", "b_mag", "r_mag", "b_dec"),
}
"""Tensors of each architecture that its encoder reads."""
_NORMS = ("none", "layer_norm", "constant_norm_rescale")
_HOOK = re.compile(
    r"blocks\.(\d+)\.(?:(mlp\.hook_post)|(hook_mlp_out)|(attn\.hook_z)|(hook_resid_post)|(hook_resid_pre))"
)
_SITES = (Site.mlp_post, Site.mlp_out, Site.attn_z, Site.resid_post, Site.resid_post)


class SparseEncoder(nn.Module):
    """Latents of one sparse autoencoder.

    Attributes:
        site: Where its inputs pass.
        layer: In which layer.
    """

    W_enc: Tensor
    b_enc: Tensor
    b_dec: Tensor
    threshold: Tensor
    b_gate: Tensor
    b_mag: Tensor
    r_mag: Tensor
    scale: Tensor | None

    def __init__(self, name: str, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Take what encoding needs.

        Args:
            name: What error messages call it.
            config: What `cfg.json` holds.
            weights: The tensors.

        Raises:
            UserError: The architecture, normalisation or place is not known, or a tensor is missing.
        """
        super().__init__()
        self.architecture = str(config.get("architecture", "standard"))
        if self.architecture not in _NEEDS:
            raise UserError(f"{name} is a '{self.architecture}' encoder; known are {', '.join(_NEEDS)}")
        lacking = [tensor for tensor in _NEEDS[self.architecture] if tensor not in weights]
        if lacking:
            raise UserError(f"{name} lacks {', '.join(lacking)}, which a {self.architecture} encoder reads")
        self.norm = str(config.get("normalize_activations", "none"))
        if self.norm not in _NORMS:
            raise UserError(
                f"{name} normalises its inputs by '{self.norm}'; known are {', '.join(_NORMS)}: fold it first"
            )
        metadata = config.get("metadata") or config
        self.site, self.layer = _place(name, str(metadata.get("hook_name")))
        kwargs = metadata.get("model_from_pretrained_kwargs") or {}
        self.centred = bool(kwargs.get("center_writing_weights")) and self.site is not Site.mlp_post
        """Whether it was trained on a residual stream whose mean over coordinates was taken out."""
        self.k = int(config["k"]) if self.architecture == "topk" else 0
        if self.architecture == "topk" and config.get("rescale_acts_by_decoder_norm"):
            self.register_buffer("scale", weights["W_dec"].float().norm(dim=-1))
        else:
            self.scale = None
        for tensor in _NEEDS[self.architecture]:
            if tensor != "W_dec":
                self.register_buffer(tensor, weights[tensor].float())
        if not config.get("apply_b_dec_to_input", True):
            self.b_dec.zero_()

    @property
    def latents(self) -> int:
        """Latents of the encoder."""
        return self.W_enc.shape[1]

    def forward(self, values: Float[Tensor, "*tokens inputs"]) -> Float[Tensor, "*tokens latents"]:
        """Latents of activations, in their type.

        Raises:
            UserError: The activations have another width than the encoder's inputs.
        """
        if values.shape[-1] != len(self.W_enc):
            raise UserError(
                f"the encoder for {self.site} of layer {self.layer} takes {len(self.W_enc)} inputs, but "
                f"{values.shape[-1]} pass there: it was trained on another model"
            )
        inputs = self._normalised(values.to(self.W_enc.dtype)) - self.b_dec
        if self.architecture == "gated":
            magnitude = (inputs @ (self.W_enc * self.r_mag.exp()) + self.b_mag).relu()
            found = magnitude * (inputs @ self.W_enc + self.b_gate > 0)
        else:
            before = inputs @ self.W_enc + self.b_enc
            found = self._rectified(before)
        return found.to(values.dtype)

    def _rectified(self, before: Float[Tensor, "*tokens latents"]) -> Float[Tensor, "*tokens latents"]:
        if self.architecture == "jumprelu":
            return before.relu() * (before > self.threshold)
        if self.architecture == "topk":
            before = before if self.scale is None else before * self.scale
            best, where = before.topk(self.k, dim=-1)
            return torch.zeros_like(before).scatter_(-1, where, best.relu())
        return before.relu()

    def _normalised(self, values: Float[Tensor, "*tokens inputs"]) -> Float[Tensor, "*tokens inputs"]:
        if self.centred:
            values = values - values.mean(-1, keepdim=True)
        if self.norm == "layer_norm":
            values = values - values.mean(-1, keepdim=True)
            return values / (values.std(-1, keepdim=True) + 1e-5)
        if self.norm == "constant_norm_rescale":
            return values * (values.shape[-1] ** 0.5 / values.norm(dim=-1, keepdim=True))
        return values


def load_encoder(folder: str) -> SparseEncoder:
    """Read the encoder of a folder in SAELens' format.

    Args:
        folder: With `cfg.json` and `sae_weights.safetensors`.

    Raises:
        UserError: A file is missing or damaged, or the encoder is of a kind that is not known.
    """
    place = Path(folder).expanduser()
    try:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(place / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"cannot read the sparse autoencoder in {folder}: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{place / CONFIG} holds no settings by name")
    return SparseEncoder(str(place), config, weights)


def _place(name: str, hook: str) -> tuple[Site, int]:
    found = _HOOK.fullmatch(hook)
    if found is None:
        raise UserError(
            f"{name} was trained at '{hook}'; known are blocks.<layer>. with mlp.hook_post, hook_mlp_out, "
            "attn.hook_z, hook_resid_post or hook_resid_pre"
        )
    index = next(index for index, group in enumerate(found.groups()[1:]) if group)
    layer = int(found[1]) - (index == 4)  # before a block is behind the one below it
    if layer < 0:
        raise UserError(f"{name} was trained at '{hook}', the embedding, which is no layer's output")
    return _SITES[index], layer
