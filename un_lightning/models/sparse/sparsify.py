"""Encoders in sparsify's format: a folder named like a module, with `cfg.json` and `sae.safetensors`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from un_lightning.errors import UserError
from un_lightning.models.side import Side
from un_lightning.models.sparse.encoder import Encoding, Rule, SparseEncoder
from un_lightning.models.sparse.place import Place
from un_lightning.models.sparse.settings import Settings, tensor


WEIGHTS = "sae.safetensors"
_SILENT = (
    "d_in",
    "expansion_factor",
    "num_latents",
    "normalize_decoder",
    "multi_topk",
    "skip_connection",
    "dtype",
)
_RULES = {"topk": Rule.topk, "groupmax": Rule.groupmax}


def read_sparsify(folder: Path, values: Mapping[str, Any], weights: Mapping[str, Tensor]) -> SparseEncoder:
    """An encoder from what its files hold; its folder's name says which module it was trained on.

    A transcoder reads what goes into the module, an autoencoder what comes out of it.

    Args:
        folder: Such as `layers.5.mlp` or `h.3`.
        values: Of `cfg.json`.
        weights: The tensors.

    Raises:
        UserError: A setting is not known, a tensor is missing, or the folder's name is no module of a layer.
    """
    name = str(folder)
    settings = Settings(name, values, _SILENT)
    rule = _RULES[settings.choose("activation", "topk", _RULES)]
    signed = bool(settings.take("signed"))
    transcoder = bool(settings.take("transcode"))
    k = settings.whole("k")
    module = str(settings.take("hookpoint", folder.name)).removeprefix("model.").removeprefix("transformer.")
    settings.refuse_rest()
    layer = re.search(r"\d+", module)
    if layer is None:
        raise UserError(
            f"{name}: sparsify's folders are named like the module that they were trained on, such as "
            f"layers.5.mlp or h.3, and '{module}' names no layer"
        )
    encoding = Encoding(
        tensor(name, weights, "encoder.weight").T,
        tensor(name, weights, "encoder.bias"),
        rule,
        None if transcoder else tensor(name, weights, "b_dec"),
        k=k,
        signed=signed,
    )
    place = Place(int(layer[0]), module=module, side=Side.input if transcoder else Side.output)
    return SparseEncoder(name, encoding, place)
