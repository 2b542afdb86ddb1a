"""The module, and the side of it, at which an encoder's inputs pass in a model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.sites import Point, find_component
from un_lightning.models.sparse.encoder import Norm, SparseEncoder


def encoder_point(
    name: str, module: nn.Module, encoder: SparseEncoder, points: Callable[[Site], Sequence[Point]]
) -> Point:
    """Find where an encoder reads.

    Args:
        name: What error messages call the model.
        module: The model.
        encoder: The encoder, which learns how the model's own norm works if it needs that.
        points: The model's points of a site.

    Raises:
        UserError: The model has no such place.
    """
    place = encoder.place
    if place.site is not None:
        there = points(place.site)
        if place.layer >= len(there):
            raise UserError(
                f"model '{name}' has {len(there)} layers, but an encoder was trained on layer {place.layer}"
            )
        return replace(there[place.layer], encoder=encoder)
    found = _component(name, module, place.component) if place.component else _module(module, place.module)
    if found is None:
        raise UserError(
            f"model '{name}' has no {place.component or place.module}, which {encoder.name} was trained on"
        )
    if encoder.norm is Norm.model_norm:
        _learn_norm(name, encoder, found)
    path = next(path for path, child in module.named_modules() if child is found)
    return Point(path, found, place.side, encoder)


def _component(name: str, module: nn.Module, component: str) -> nn.Module | None:
    from transformers import PreTrainedModel

    return find_component(name, module, component) if isinstance(module, PreTrainedModel) else None


def _module(module: nn.Module, path: str | None) -> nn.Module | None:
    trunk = getattr(module, "base_model", module)
    for owner in (trunk, module):
        found = dict(owner.named_modules()).get(path or "")
        if found is not None:
            return found
    return None


def _learn_norm(name: str, encoder: SparseEncoder, norm: nn.Module) -> None:
    """Take the kind of norm and its ε from the model's own.

    Raises:
        UserError: It is neither a layer norm nor an RMS norm.
    """
    kind = type(norm).__name__
    owner: Any = norm
    eps = next((getattr(owner, key) for key in ("eps", "variance_epsilon") if hasattr(owner, key)), None)
    if eps is None or not ("LayerNorm" in kind or "RMSNorm" in kind):
        raise UserError(f"{encoder.name} reads what the norm of '{name}' gives, and {kind} is not known")
    encoder.eps, encoder.mean_free = float(eps), isinstance(norm, nn.LayerNorm)
