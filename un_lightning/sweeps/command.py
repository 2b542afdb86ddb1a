"""The command of a sweep file, with W&B's macros filled in."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from un_lightning.config.nested import flat
from un_lightning.errors import UserError
from un_lightning.sweeps.distributions import Parameter
from un_lightning.sweeps.spec import Sweep


_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_FOR_HYDRA = ("${args_no_hyphens}", "${args_append_hydra}", "${args_override_hydra}")
_ARGUMENTS = (
    "${args}",
    "${args_no_equals}",
    "${args_no_boolean_flags}",
    "${args_json}",
    "${args_json_file}",
    *_FOR_HYDRA,
)
_MACROS = ("${env}", "${interpreter}", "${program}", *_ARGUMENTS)
_SCRIPTS = {"run.py": "run", "train.py": "train", "prepare.py": "prepare"}
EXAMPLE = (
    "command: ['${env}', python, experiments/run.py, experiment=tiny/universality, '${args_no_hyphens}']"
)


@dataclass(frozen=True)
class Program:
    """A verb of this project, as a sweep's command calls it."""

    verb: str
    arguments: list[str]


def nested(parameters: Sequence[Parameter], values: dict[str, Any]) -> dict[str, Any]:
    """Values as the file nests them, which is how W&B hands them over."""
    tree: dict[str, Any] = {}
    for parameter in parameters:
        branch = tree
        for part in parameter.path[:-1]:
            branch = branch.setdefault(part, {})
        branch[parameter.path[-1]] = values[parameter.key]
    return tree


def command_words(sweep: Sweep, values: dict[str, Any], json_file: str) -> list[str]:
    """The words of the command that runs a point.

    Args:
        sweep: The sweep file.
        values: The point's values as `nested` gives them.
        json_file: Where `${args_json_file}` finds them.
    """
    pairs = [f"{key}={value}" for key, value in values.items()]
    macros: dict[str, list[str]] = {
        "${env}": ["/usr/bin/env"],
        "${interpreter}": ["python"],
        "${program}": [sweep.program] if sweep.program else [],
        "${args}": [f"--{pair}" for pair in pairs],
        "${args_no_hyphens}": pairs,
        "${args_append_hydra}": [f"+{pair}" for pair in pairs],
        "${args_override_hydra}": [f"++{pair}" for pair in pairs],
        "${args_no_equals}": [word for key, value in values.items() for word in (f"--{key}", str(value))],
        "${args_no_boolean_flags}": [
            f"--{key}" if value is True else f"--{key}={value}"
            for key, value in values.items()
            if value is not False
        ],
        "${args_json}": [json.dumps(values)],
        "${args_json_file}": [json_file],
    }
    words: list[str] = []
    for word in sweep.command:
        word = _VARIABLE.sub(lambda match: os.environ.get(match[1], match[1]), word)
        words += macros.get(word, [word])
    return words


def check_command(sweep: Sweep) -> None:
    """Refuse a command that would not hand the values over.

    Raises:
        UserError: A macro is unknown, the program is missing, or no macro brings the values.
    """
    for word in sweep.command:
        if word.startswith("${") and word not in _MACROS and not _VARIABLE.match(word):
            raise UserError(f"command: there is no macro {word}; allowed are {', '.join(_MACROS)}")
    if "${program}" in sweep.command and not sweep.program:
        raise UserError(f"the file has neither program nor command: write, for instance,\n  {EXAMPLE}")
    given = [word for word in sweep.command if word in _ARGUMENTS]
    if not given:
        raise UserError("command has no ${args_no_hyphens}, so the values would not reach the program")
    ours = program_of(command_words(sweep, {}, ""))
    if ours is not None and any(word not in _FOR_HYDRA for word in given):
        raise UserError(f"{given[0]} writes --key=value, but this project reads key=value: use\n  {EXAMPLE}")
    if ours is not None and {"-m", "--multirun"} & {*ours.arguments}:
        raise UserError("command has --multirun, but a point is one run: take it away")


def program_of(words: Sequence[str]) -> Program | None:
    """The verb of this project that a command calls; None for another program, whose config is unknown."""
    for place, word in enumerate(words):
        path, rest = PurePath(word), list(words[place + 1 :])
        if path.parent.name == "experiments" and path.name in _SCRIPTS:
            return Program(_SCRIPTS[path.name], rest)
        if path.name == "un-lightning" and rest and rest[0] in _SCRIPTS.values():
            return Program(rest[0], rest[1:])
    return None


def shown(values: dict[str, Any]) -> str:
    """A point in one line."""
    return " ".join(f"{key}={value}" for key, value in flat(values)) or "(no values)"
