"""A family of models is loaded: by the name of a config, or by the places of its members."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from un_lightning.api.family import Family
from un_lightning.api.unchanged import hydra_unchanged
from un_lightning.api.words import words
from un_lightning.compose import composer
from un_lightning.config import MemberConfig, ModelsConfig, ModelSource
from un_lightning.errors import UserError
from un_lightning.mistakes import explain
from un_lightning.models import family as loading
from un_lightning.models.paths import BUNDLED


def load_family(
    models: str | Mapping[str, str | PathLike[str]],
    *,
    members: Sequence[str] | None = None,
    config_dir: str | PathLike[str] | None = None,
    **settings: Any,
) -> Family:
    """Load models that share a tokenizer.

    ```
    ul.load_family("un_tiny")                                     # a file of configs/models/
    ul.load_family({"a": "models/seed0", "b": "models/seed1"})    # folders, or ids on the Hugging Face hub
    ```

    Args:
        models: Name of a models config, or names with folders or hub ids; the first one is the reference.
        members: Names of the members to load; None loads all.
        config_dir: A folder of one's own YAML files, where `models` is the name of one.
        **settings: Other keys of `models` (docs/python.md), such as `reference="b"` or `tokenizer="gpt2"`.

    Returns:
        The models in float32 on the CPU, in evaluation mode and without gradients.

    Raises:
        UserError: What the command line would say, in the same words.
    """
    if isinstance(models, str):
        with hydra_unchanged(), composer() as compose:
            argv = [
                f"models={models}",
                "name=python",
                *words({"models": settings} if settings else {}, config_dir),
            ]
            config, _ = compose(argv)
        chosen: ModelsConfig = config.models
    else:
        chosen = _of_places(models, settings)
    known = [member.name for member in chosen.members]
    for name in members or ():
        if name not in known:
            raise UserError(f"there is no model '{name}', family {chosen.family} has {', '.join(known)}")
    found = loading.load_family(chosen, None, members)
    if found.reference not in found.models:
        found = loading.Family(found.name, found.models, next(iter(found.models)), found.tokenizer)
    return Family(**{field.name: getattr(found, field.name) for field in fields(found)})


def _of_places(places: Mapping[str, str | PathLike[str]], settings: Mapping[str, Any]) -> ModelsConfig:
    """The config of models that are named with their places."""
    if not places:
        raise UserError("models.members is empty: name at least one model")
    local = all(_is_folder(place) for place in places.values())
    members = [
        MemberConfig(name, str(Path(place).expanduser()) if local and _is_path(place) else str(place))
        for name, place in places.items()
    ]
    source = ModelSource.local if local else ModelSource.hub
    try:
        config = ModelsConfig("models", source, members, reference=next(iter(places)))
        merged: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config), dict(settings)))
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(explain(error, [])) from error
    return merged


def _is_path(place: str | PathLike[str]) -> bool:
    return not str(place).startswith(BUNDLED)


def _is_folder(place: str | PathLike[str]) -> bool:
    """Whether a place is one of this machine, and no id on the hub."""
    written = isinstance(place, PathLike) or place.startswith((BUNDLED, ".", "/", "~"))
    return written or Path(place).is_dir()
