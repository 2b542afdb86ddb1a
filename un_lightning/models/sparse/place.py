"""Where in a model the inputs of an encoder pass."""

import re
from dataclasses import dataclass

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.side import Side


@dataclass(frozen=True)
class Place:
    """A site of a layer, a part of a layer by TransformerLens' name, or a module by its own."""

    layer: int
    site: Site | None = None
    component: str | None = None
    """Such as `blocks.3.mlp`."""
    module: str | None = None
    """Name of a module below the trunk, such as `h.3.mlp`."""
    side: Side = Side.output

    def __str__(self) -> str:
        if self.site is not None:
            return f"{self.site} of layer {self.layer}"
        return f"the {self.side} of {self.component or self.module}"


_HOOK = re.compile(r"blocks\.(\d+)\.(.+)")
_SITES = {
    "mlp.hook_post": Site.mlp_post,
    "mlp.hook_pre": Site.mlp_pre,
    "hook_mlp_out": Site.mlp_out,
    "mlp.hook_out": Site.mlp_out,
    "attn.hook_z": Site.attn_z,
    "hook_resid_post": Site.resid_post,
    "hook_out": Site.resid_post,
}
_COMPONENTS = {
    "ln2.hook_normalized": ("ln2", Side.input),
    "hook_resid_mid": ("ln2", Side.input),
    "hook_mlp_in": ("ln2", Side.input),
    "mlp.hook_in": ("mlp", Side.input),
    "ln2.hook_out": ("mlp", Side.input),
    "hook_attn_out": ("attn", Side.output),
    "attn.hook_out": ("attn", Side.output),
}
"""Hooks that are no site of this project: part of the layer, and its side."""
_BEFORE = ("hook_resid_pre", "hook_in")


def place_of_hook(name: str, hook: str) -> Place:
    """The place that TransformerLens calls by the name of a hook.

    Args:
        name: What error messages call the encoder.
        hook: Such as `blocks.3.hook_resid_post`.

    Raises:
        UserError: The hook is none of those that are known.
    """
    found = _HOOK.fullmatch(hook)
    kind = found[2] if found else ""
    layer = int(found[1]) if found else 0
    if kind in _SITES:
        return Place(layer, _SITES[kind])
    if kind in _COMPONENTS:
        part, side = _COMPONENTS[kind]
        return Place(layer, component=f"blocks.{layer}.{part}", side=side)
    if kind in _BEFORE:  # before a block is behind the one below it
        if layer == 0:
            raise UserError(f"{name} was trained at '{hook}', the embedding, which is no layer's output")
        return Place(layer - 1, Site.resid_post)
    known = ", ".join([*_SITES, *_COMPONENTS, *_BEFORE])
    raise UserError(f"{name} was trained at '{hook}'; known are blocks.<layer>. with {known}")
