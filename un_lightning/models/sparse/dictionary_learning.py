"""Encoders in the format of dictionary_learning: `config.json` and `ae.pt` (or `ae.safetensors`)."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.sparse.encoder import Encoding, Rule, SparseEncoder
from un_lightning.models.sparse.place import Place
from un_lightning.models.sparse.settings import Settings, tensor


CONFIG, PICKLED, WEIGHTS = "config.json", "ae.pt", "ae.safetensors"
_CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)
_SITES = (("resid", Site.resid_post), ("mlp", Site.mlp_out))
"""By what the name of the submodule holds."""


def read_dictionary(name: str, values: Mapping[str, Any], weights: Mapping[str, Tensor]) -> SparseEncoder:
    """An encoder from what its files hold.

    Args:
        name: What error messages call it.
        values: Of `config.json`; its part `trainer` says what was trained, the rest how.
        weights: The tensors.

    Raises:
        UserError: The class or the place is not known, or a tensor is missing.
    """
    trainer = values.get("trainer")
    if not isinstance(trainer, Mapping):
        raise UserError(f"{name}: its config.json has no part 'trainer'")
    settings = Settings(name, trainer, ())  # its other keys say how it was trained
    kind = settings.choose("dict_class", "AutoEncoder", _CLASSES)
    layer, module = settings.whole("layer"), str(settings.take("submodule_name", ""))
    site = next((site for word, site in _SITES if re.search(word, module)), None)
    if site is None:
        raise UserError(f"{name} was trained at '{module}'; known are names that hold resid_post or mlp_out")
    if "resid_pre" in module:
        layer -= 1
    return SparseEncoder(name, _encoding(name, kind, trainer, weights), Place(layer, site))


def _encoding(name: str, kind: str, trainer: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Encoding:
    take = lambda *keys: tensor(name, weights, *keys)
    if kind in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"):
        weight, bias = take("W_enc"), take("b_enc")
        threshold = take("threshold").expand(len(bias))
        if kind == "JumpReluAutoEncoder":
            return Encoding(weight, bias, Rule.jump, None, threshold, after=take("W_dec").norm(dim=1))
        return Encoding(weight, bias, Rule.jump, take("b_dec"), threshold)
    weight = take("encoder.weight").T
    if kind == "GatedAutoEncoder":
        return Encoding(
            weight, take("gate_bias"), Rule.gated, take("decoder_bias"),
            magnitude=(take("r_mag"), take("mag_bias")), after=take("decoder.weight").norm(dim=0),
        )  # fmt: skip
    bias = take("encoder.bias")
    if kind == "AutoEncoder":
        return Encoding(weight, bias, Rule.relu, take("bias"))
    if kind == "AutoEncoderNew":
        return Encoding(weight, bias, Rule.relu)
    if kind == "BatchTopKSAE":
        return Encoding(weight, bias, Rule.jump, take("b_dec"), take("threshold").expand(len(bias)))
    k = Settings(name, {"k": weights.get("k", trainer.get("k"))}, ()).whole("k")
    return Encoding(weight, bias, Rule.topk, take("b_dec"), k=k)
