"""Reads the encoder of a folder, whoever's format it is in."""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from un_lightning.errors import UserError
from un_lightning.models.sparse import dictionary_learning, saelens, sparsify
from un_lightning.models.sparse.encoder import SparseEncoder


def load_encoder(folder: str, allow_pickle: bool = False) -> SparseEncoder:
    """Read the encoder of a folder in the format of SAELens, sparsify or dictionary_learning.

    Args:
        folder: Whose files say which format it is.
        allow_pickle: Whether weights may be read from a pickled file (dictionary_learning's `ae.pt`); even
            then only tensors are taken from it.

    Raises:
        UserError: A file is missing or damaged, or the encoder is of a kind that is not known.
    """
    place = Path(folder).expanduser()
    name = str(place)
    if (place / saelens.WEIGHTS).exists():
        return saelens.read_saelens(
            name, _settings(place / saelens.CONFIG), _tensors(place / saelens.WEIGHTS)
        )
    if (place / sparsify.WEIGHTS).exists():
        config = _settings(place / saelens.CONFIG)
        return sparsify.read_sparsify(place, config, _tensors(place / sparsify.WEIGHTS))
    for file in (dictionary_learning.WEIGHTS, dictionary_learning.PICKLED):
        if (place / file).exists():
            config = _settings(place / dictionary_learning.CONFIG)
            if file == dictionary_learning.PICKLED and not allow_pickle:
                raise UserError(
                    f"{place / file} is pickled: set models.allow_pickle=true if you trust it, or save its "
                    f"tensors as {dictionary_learning.WEIGHTS}"
                )
            return dictionary_learning.read_dictionary(name, config, _tensors(place / file))
    known = saelens.WEIGHTS, sparsify.WEIGHTS, dictionary_learning.WEIGHTS, dictionary_learning.PICKLED
    found = ", ".join(sorted(path.name for path in place.iterdir())[:8]) if place.is_dir() else "no folder"
    raise UserError(
        f"no sparse autoencoder lies in {folder}: it has none of {', '.join(known)} "
        f"(there is {found or 'nothing'})"
    )


def _settings(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the sparse autoencoder's {path}: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no settings by name")
    return config


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise UserError(f"cannot read the sparse autoencoder's {path}: {error}") from error
    if not isinstance(weights, dict):
        raise UserError(f"{path} holds no tensors by name")
    return {str(key): value for key, value in weights.items() if isinstance(value, Tensor)}
