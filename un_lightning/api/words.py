"""Keywords of Python as the overrides of the command line, so that both are checked by the same rules."""

from collections.abc import Mapping
from enum import Enum
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from un_lightning.sweeps.agent_values import overrides


def words(settings: Mapping[str, Any], config_dir: str | PathLike[str] | None = None) -> list[str]:
    """Settings as overrides.

    Args:
        settings: Config keys and values. A mapping stands for the keys below, a text for a group's option;
            keys may have dots.
        config_dir: A folder of one's own YAML files.
    """
    own = [] if config_dir is None else [f"--config-dir={Path(config_dir).expanduser().absolute()}"]
    return own + overrides({key: _plain(value) for key, value in settings.items()})


def _plain(value: Any) -> Any:
    """A value as Hydra's grammar has it; numpy's and torch's numbers become Python's."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
