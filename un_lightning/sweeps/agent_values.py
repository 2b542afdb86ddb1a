"""The values that a sweep gives to a run, with their types.

W&B's agent, and the local runner in the same way, writes them to the command line as Python's `str` of each,
which Hydra reads differently for None, for text with commas and for nested parameters. The same values lie in
the file that `WANDB_SWEEP_PARAM_PATH` names, so they are taken from there.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from un_lightning.config.nested import flat
from un_lightning.errors import UserError


PATH = "WANDB_SWEEP_PARAM_PATH"
_PLAIN = re.compile(r"[A-Za-z_./][\w./:@+-]*")
_WORDS = ("null", "true", "false", "nan", "inf")


def read_values() -> dict[str, Any]:
    """The values that the environment's sweep gives to this run; empty outside a sweep.

    Raises:
        UserError: The file that the environment names cannot be read.
    """
    path = os.environ.get(PATH)
    if not path:
        return {}
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{PATH}={path} cannot be read: {error}") from error
    entries = content if isinstance(content, dict) else {}
    return {key: e["value"] for key, e in entries.items() if isinstance(e, dict) and "value" in e}


def with_types(arguments: list[str], values: Mapping[str, Any]) -> list[str]:
    """Replace what an agent wrote for a value by what Hydra reads as that value.

    Args:
        arguments: The words of a command line.
        values: The sweep's values by their keys, nested ones as mappings.

    Returns:
        The words; `key=…`, `+key=…` and `++key=…` of the sweep's keys are rewritten, and a nested
        parameter becomes a word for every key below it.
    """
    rewritten: list[str] = []
    for word in arguments:
        key, sign, _ = word.partition("=")
        name = key.lstrip("+")
        if sign and name in values:
            rewritten += [f"{key[: len(key) - len(name)]}{pair}" for pair in overrides({name: values[name]})]
        else:
            rewritten.append(word)
    return rewritten


def overrides(values: Mapping[str, Any]) -> list[str]:
    """Values as Hydra's overrides."""
    return [f"{key}={hydra_value(value)}" for key, value in flat(values)]


def hydra_value(value: Any) -> str:
    """A value in Hydra's grammar, quoted where it has to be."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(hydra_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{hydra_value(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return str(value)
    # A backslash is itself, but before a quote and at the end.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"
