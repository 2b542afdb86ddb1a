"""What is wrong with a command line or a config file, in one message: Hydra's own take some reading."""

import re
from collections.abc import Collection, Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from un_lightning.config import Config
from un_lightning.errors import UserError


GROUPS = ("experiment", "debug")
"""Config groups that are no keys of the config."""

_FEW = 12
"""Names that are listed whole; of more than these, the nearest are named."""

_FILE = re.compile(r"In '([^']+)': \w+ raised while composing config:")
"""How Hydra begins what is wrong with a file, or with what other words chose for it."""

_NOISE = ("object_type=", "reference_type=", "Config search path:", "provider=", "See https://hydra.cc")


def experiments(folders: Collection[Path]) -> list[str]:
    """Names of the experiments in some config folders."""
    groups = [folder / "experiment" for folder in folders]
    found = {path.relative_to(group) for group in groups for path in group.rglob("*.yaml")}
    return sorted(path.with_suffix("").as_posix() for path in found)


def explain(error: Exception, folders: Collection[Path]) -> str:
    """Say what is wrong and what is allowed.

    Args:
        error: What Hydra or OmegaConf raised.
        folders: The config folders, to list the experiments.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.partition("/")
        known = experiments(folders) if group == "experiment" else [*(error.options or [])]
        what = f"there is no {group} '{option}'" if option else f"there is no config '{group}'"
        rest = "; un-lightning list shows all" if group == "experiment" else ""
        return f"{what}{_hint(option, known)}; {_some(option, known, 'known')}{rest}"
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': write key=value, and quote values that hold spaces or commas"
    cause = error
    if isinstance(error, ConfigCompositionException):
        cause = error.__cause__ or error.__context__  # with a cause where words do not fit, else where a file
    if isinstance(cause, OmegaConfBaseException):
        place = _FILE.match(str(error)) if cause is not error else None
        return _explain_key(cause) if place is None else _explain_file(place[1], cause)
    if "override must be a string or a list" in str(error):
        return "a group cannot be set to null: take it away with ~group, such as ~logger"
    return _without(error, *_NOISE)


def refuse_twice(words: Iterable[str]) -> None:
    """Refuse a second `experiment=`, which would silently replace the first.

    Raises:
        UserError: Two experiments are named.
    """
    named = [word for word in words if word.startswith("experiment=")]
    if len(named) > 1:
        raise UserError(f"{named[0]} and {named[1]} are given: choose one experiment")


def refuse_unknown(config: Any, path: str = "") -> None:
    """Refuse keys that were added with `+` and that nothing reads.

    Raises:
        UserError: A part of the config holds a key that is not in its schema.
    """
    if isinstance(config, list):
        for index, item in enumerate(config):
            refuse_unknown(item, f"{path.rstrip('.')}[{index}].")
    elif is_dataclass(config):
        known = [field.name for field in fields(config)]
        for name, value in vars(config).items():
            if name not in known:
                raise UserError(_unknown(f"{path}{name}", known))
            refuse_unknown(value, f"{path}{name}.")


def _explain_file(file: str, error: OmegaConfBaseException) -> str:
    """A file sets what the config has no place for; often because another analysis was put in its place."""
    key = error.full_key or str(error.key)
    kind = getattr(error.object_type, "kind", None)
    if isinstance(error, ConfigAttributeError | ConfigKeyError) and is_dataclass(error.object_type) and kind:
        group, _, last = key.rpartition(".")
        known = [field.name for field in fields(error.object_type)]
        return (
            f"{file} sets '{key}', which {group}={kind} does not have{_hint(last, known)}: correct the file, "
            f"or take {group}={kind} away if the command line chose it"
        )
    return f"in {file}: {_explain_key(error)}"


def _explain_key(error: OmegaConfBaseException) -> str:
    key = error.full_key or str(error.key)
    if not isinstance(error, ConfigAttributeError | ConfigKeyError):
        return f"{key}: {_without(error, *_NOISE, 'full_key:')}"
    parent = key.rpartition(".")[0]
    if is_dataclass(error.object_type):
        known = [field.name for field in fields(error.object_type)]
        return _unknown(key, known + ([*GROUPS] if error.object_type is Config else []))
    if parent and "." not in parent:
        return (
            f"unknown key '{key}': no {parent} is chosen; add {parent}=<name>, or an experiment that has one"
        )
    return f"unknown key '{key}': add it as +{key}=<value> if it is meant to be new"


def _unknown(key: str, known: list[str]) -> str:
    last = key.rpartition(".")[2]
    return f"unknown key '{key}'{_hint(last, known)}; {_some(last, known, 'allowed')}"


def _some(name: str, known: list[str], what: str) -> str:
    """All names where they are few, the three nearest otherwise."""
    if len(known) <= _FEW:
        return f"{what} are {', '.join(known) or 'none'}"
    return f"the nearest are {', '.join(nearest(name, known))}"


def nearest(name: str, known: Collection[str]) -> list[str]:
    """The three names that are most like one."""
    return get_close_matches(name, known, n=3, cutoff=0.0)


def _hint(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _without(error: Exception, *noise: str) -> str:
    """The message without the lines in which OmegaConf explains itself."""
    lines = (line.rstrip() for line in str(error).splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith(noise))
