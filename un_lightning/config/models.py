"""A family of models."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from omegaconf import MISSING

from un_lightning.config.checks import file_name, require


class ModelSource(StrEnum):
    """Where the members of a family come from."""

    hub = "hub"
    local = "local"
    random = "random"
    loader = "loader"


class Site(StrEnum):
    """A place in a transformer whose coordinates are the units of an analysis (docs/architecture.md)."""

    mlp_pre = "mlp_pre"
    mlp_post = "mlp_post"
    mlp_out = "mlp_out"
    attn_z = "attn_z"
    resid_post = "resid_post"
    latents = "latents"
    units = "units"


@dataclass
class MemberConfig:
    """One model of a family."""

    name: str = MISSING
    """How tables and figures call it."""
    path: str | None = None
    """Hub id, local folder, or `bundled:<folder>` for a model that is shipped with the package."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    seed: int | None = None
    """Seed of the weights where `models.source` is random; null is the member's place in the list."""
    encoders: list[str] = field(default_factory=list)
    """Folders of sparse autoencoders or transcoders (SAELens, sparsify or dictionary_learning); their
    latents are the units at `latents`."""


@dataclass
class ModelsConfig:
    """A family: models that share a tokenizer and differ by seed, checkpoint, size or data."""

    family: str = MISSING
    """Name of the family, for tables, figures and messages."""
    source: ModelSource = ModelSource.hub
    members: list[MemberConfig] = MISSING
    """The models: each a name, a path, and what else belongs to it."""
    reference: str = MISSING
    """The member that the others are compared with."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """`model_type` and the settings of a transformers config, where `source` is random."""
    loader: str | None = None
    """`package.module.function` that takes a member and returns an `nn.Module`, where `source` is loader."""
    units: str | None = None
    """Glob over module names whose outputs [batch, position, unit] are the units, such as `blocks.*.act`."""
    tokenizer: str | None = None
    """Hub id, folder or `bundled:` folder; null takes the members' own."""
    allow_pickle: bool = False
    """Load weights from pickled files, which can run code. Safetensors only, otherwise."""
    allow_remote_code: bool = False
    """Run model code that comes with a checkpoint."""

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        require(len(names) > 0, "models.members is empty: name at least one model")
        require(len(set(names)) == len(names), f"models.members holds a name twice: {names}")
        file_name("models.family", self.family)
        for name in names:
            file_name("the name of a member of models.members", name)
        require(
            self.reference in names, f"models.reference is '{self.reference}', but the members are {names}"
        )
        if self.source is ModelSource.loader:
            require(self.loader is not None, "models.source=loader needs models.loader=package.function")
            require(self.units is not None, "models.source=loader needs models.units, a glob of modules")
        elif self.source is ModelSource.random:
            require(
                "model_type" in self.architecture,
                "models.source=random needs models.architecture with model_type (gpt2, gpt_neox, llama, …)",
            )
            for index, member in enumerate(self.members):
                member.seed = index if member.seed is None else member.seed
        else:
            for member in self.members:
                require(
                    member.path is not None, f"models.members: '{member.name}' has no path (hub id or folder)"
                )
