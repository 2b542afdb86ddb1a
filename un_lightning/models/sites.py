"""Which module of a model, and which side of it, a site is in each layer.

Hugging Face names the same place differently in every architecture. The architecture adapters of
TransformerLens hold the translation, and are read here without building a bridge: a bridge would replace the
model's modules and force slow attention, while the plain model with plain hooks computes the same numbers.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from torch import nn

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.kinds import why_lacking
from un_lightning.models.side import Side


if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from un_lightning.models.sparse.encoder import SparseEncoder


@dataclass(frozen=True)
class Point:
    """Where one layer's activation of a site passes."""

    path: str
    """Name of the module inside the model."""
    module: nn.Module
    side: Side
    encoder: "SparseEncoder | None" = None
    """What turns the activation into units, where they are latents."""

    @property
    def width(self) -> int | None:
        """Units here, as far as weights tell; None where only a forward can."""
        if self.encoder is not None:
            return self.encoder.latents
        if isinstance(self.module, nn.Linear):
            widths = self.module.in_features, self.module.out_features
        elif type(self.module).__name__ == "Conv1D" and hasattr(self.module, "nf"):
            weight: Any = self.module.weight
            widths = tuple(weight.shape)  # GPT-2's projection: [in, out]
        else:
            return None
        return int(widths[0] if self.side is Side.input else widths[1])


# TransformerLens' names of the sites: component of a block (None is the block itself), and hook. Its aliases
# instead of fixed paths get the odd architectures right: BLOOM adds the residual inside its MLP module, OPT
# has no MLP module at all, Gemma 2 normalises what the MLP adds to the residual stream.
_HOOKS: dict[Site, tuple[str | None, str]] = {
    Site.mlp_pre: ("mlp", "hook_pre"),
    Site.mlp_post: ("mlp", "hook_post"),
    Site.mlp_out: (None, "hook_mlp_out"),
    Site.attn_z: ("attn", "hook_z"),
    Site.resid_post: (None, "hook_resid_post"),
}
_SIDES = {"hook_in": Side.input, "hook_out": Side.output}


def find_points(name: str, module: nn.Module, site: Site, glob: str | None = None) -> list[Point]:
    """Find a site in every layer of a model.

    Args:
        name: What error messages call the model.
        module: A causal language model of transformers, or any module for `Site.units`.
        site: The site.
        glob: Pattern over the names of `module.named_modules()`, where the site is `units`.

    Returns:
        One point a layer, from the first layer to the last.

    Raises:
        UserError: The model has no such site, in all or in some layers.
    """
    if site is Site.units:
        return _match_modules(name, module, glob)
    from transformers import PreTrainedModel

    if not isinstance(module, PreTrainedModel):
        raise UserError(
            f"model '{name}' is no Hugging Face model, so its '{site}' is unknown: set analysis.site=units "
            f"and models.units to a glob over its modules, which are {_first_modules(module)}"
        )
    adapter = _adapter(name, module)
    points = _layer_points(adapter, module, site)
    lacking = [layer for layer, point in enumerate(points) if point is None]
    if lacking or not points:
        where = "" if len(lacking) == len(points) else f" in layers {lacking}"
        have = [other.value for other in _HOOKS if _is_complete(_layer_points(adapter, module, other))]
        raise UserError(
            f"model '{name}' ({type(module).__name__}) has no '{site}'{where}"
            f"{why_lacking(module, site)}; it has "
            f"{', '.join(have) or 'no named site'}, and analysis.site=units takes any modules by "
            f"models.units, such as {_first_modules(module)}"
        )
    return [point for point in points if point is not None]


def find_component(name: str, module: "PreTrainedModel", component: str) -> nn.Module | None:
    """The module that TransformerLens calls by a name such as `ln_final`; None where there is none.

    Raises:
        UserError: TransformerLens does not know the architecture.
    """
    found = _component(_adapter(name, module), module, component)
    return found if isinstance(found, nn.Module) else None


def _match_modules(name: str, module: nn.Module, glob: str | None) -> list[Point]:
    if glob is None:
        raise UserError(
            f"analysis.site=units needs models.units, a glob over the modules of '{name}', which are "
            f"{_first_modules(module)}"
        )
    found = [(path, child) for path, child in module.named_modules() if path and fnmatchcase(path, glob)]
    if not found:
        raise UserError(
            f"models.units='{glob}' matches no module of '{name}'; its modules are {_first_modules(module)}"
        )
    found.sort(key=lambda item: _natural_key(item[0]))
    return [Point(path, child, Side.output) for path, child in found]


def _natural_key(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]


def _first_modules(module: nn.Module, limit: int = 12) -> str:
    paths = [path for path, _ in module.named_modules() if path]
    return ", ".join(paths[:limit]) + (", …" if len(paths) > limit else "")


def _adapter(name: str, module: "PreTrainedModel") -> Any:
    # The import takes seconds, and globs do without it.
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

    architecture = type(module).__name__
    config = build_bridge_config_from_hf(module.config, architecture, name, module.dtype)
    try:
        return ArchitectureAdapterFactory.select_architecture_adapter(config)
    except ValueError as error:
        raise UserError(
            f"TransformerLens knows no sites of {architecture} (model '{name}'): set analysis.site=units and "
            f"models.units to a glob over its modules, which are {_first_modules(module)}"
        ) from error


def _layer_points(adapter: Any, module: nn.Module, site: Site) -> list[Point | None]:
    component, hook = _HOOKS[site]
    block = adapter.get_component_mapping().get("blocks")
    owner = block if block is None or component is None else block.submodules.get(component)
    if owner is None:
        return []
    aliases = owner.hook_aliases.get(hook, [])
    aliases = [aliases] if isinstance(aliases, str) else aliases
    if component is not None:
        # An MLP that is its own alias is a mixture of experts: its input and output are no neurons.
        aliases = [alias for alias in aliases if "." in alias]
    paths = {id(child): path for path, child in module.named_modules()}
    points: list[Point | None] = []
    for layer in range(len(_component(adapter, module, "blocks") or [])):
        found = None
        for alias in aliases:
            *steps, side = alias.split(".")
            target = ".".join(["blocks", str(layer), *([component] if component else []), *steps])
            child = _component(adapter, module, target)
            if id(child) in paths:
                found = Point(paths[id(child)], child, _SIDES[side])
                break
        points.append(found)
    return points


def _component(adapter: Any, module: nn.Module, target: str) -> Any:
    try:
        return adapter.get_component(module, target)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _is_complete(points: list[Point | None]) -> bool:
    return bool(points) and None not in points
