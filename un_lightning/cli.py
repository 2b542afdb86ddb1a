"""From the command line to a checked config, without torch: mistakes are answered in about a second."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from un_lightning import __version__
from un_lightning.boundary import asked_for_tracebacks, boundary
from un_lightning.commands.completion import FLAGS, complete
from un_lightning.commands.verb_help import show_help
from un_lightning.compose import check, config_folders, configs_folder, name_multirun, plain_values
from un_lightning.config import Config, register_schemas, search_path
from un_lightning.mistakes import explain, refuse_twice
from un_lightning.sweeps.agent_values import read_values, with_types
from un_lightning.terminal import fail, note, say


VERBS = {
    "run": "an analysis, from models and text to results",
    "explain": "what a run would read, take and cost, before it is begun",
    "prepare": "the token store of an experiment, without its models",
    "train": "one small model, or a tokenizer",
}

TOOLS = {
    "list": ("un_lightning.commands.listing", "experiments and their questions, families, finished runs"),
    "keys": ("un_lightning.commands.keys", "what can be set, and what it means"),
    "init": ("un_lightning.commands.init", "configs for a family of your own, to start from"),
    "sweep": ("un_lightning.sweeps.main", "the points of a W&B sweep file, without a server"),
    "report": ("un_lightning.report.main", "a page that compares finished runs"),
}
"""Verbs that read other arguments than Hydra's: module and purpose; a new verb is a line here."""

_FULL_ERROR = "HYDRA_FULL_ERROR"


def launch(verb: str, argv: list[str]) -> None:
    """Compose the config that `argv` asks for and carry out one verb.

    Args:
        verb: One of `VERBS`.
        argv: Hydra's overrides and flags, without the program's name; and `--traceback`.
    """
    with asked_for_tracebacks(argv) as words, boundary():
        _launch(verb, words)


def _launch(verb: str, argv: list[str]) -> None:
    if {"-h", "--help"} & {*argv}:
        show_help(verb, VERBS[verb], [word for word in argv if word not in ("-h", "--help")])
        return
    argv = _from_a_sweep(argv)
    refuse_twice(argv)
    original, full = sys.argv, os.environ.get(_FULL_ERROR)
    composed = False
    register_schemas()
    search_path.prefer(_own_configs(argv))

    def job(config: DictConfig) -> None:
        nonlocal composed
        composed = True
        # Lightning starts the other ranks with this process's own command line and environment.
        sys.argv = original
        _restore(full)
        name_multirun(config)
        _carry_out(verb, config)

    sys.argv = [original[0], *_flags_first(argv)]
    os.environ[_FULL_ERROR] = "1"  # Hydra then raises instead of printing
    try:
        hydra.main(version_base="1.3", config_path=str(configs_folder()), config_name="config")(job)()
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        if composed or full == "1":
            raise
        fail(explain(error, [*config_folders(), *_own_configs(argv)]))
        sys.exit(2)
    finally:
        sys.argv = original
        _restore(full)


def main() -> None:
    """The console script: `un-lightning run|prepare|train experiment=<name> key=value …`, and the tools."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in VERBS:
        launch(verb, sys.argv[2:])
        return
    if verb in TOOLS:
        sys.exit(tool(verb, sys.argv[2:]))
    if verb.partition("=")[0] in FLAGS:
        complete(sys.argv[1:], [*VERBS, *TOOLS], [*VERBS], lambda: launch("run", sys.argv[1:]))
        return
    if verb == "--version":
        say(f"un-lightning {__version__}")
        return
    usage = "usage: un-lightning <verb> experiment=<name> key=value …\n\nverbs (each has its own --help):\n"
    usage += "\n".join(f"  {name:8} {what}" for name, what in VERBS.items())
    usage += "\n\ntools (each has its own --help):\n"
    usage += "\n".join(f"  {name:8} {what}" for name, (_, what) in TOOLS.items())
    usage += (
        "\n\nun-lightning list shows the experiments; --version the version;\n"
        "--traceback where a bug was met; completion in bash comes with\n"
    )
    usage += '  eval "$(un-lightning -sc install=bash)"'
    if verb not in ("-h", "--help"):
        fail(f"there is no verb '{verb}'\n{usage}")
        sys.exit(2)
    say(usage)


def tool(verb: str, argv: list[str]) -> int:
    """Carry out one of `TOOLS`; returns the exit code."""
    with asked_for_tracebacks(argv) as words, boundary():
        return import_module(TOOLS[verb][0]).main(words)


def _from_a_sweep(argv: list[str]) -> list[str]:
    """The arguments with the values that a sweep's agent gives, which also reach the other ranks."""
    values = read_values()
    sys.argv = [sys.argv[0], *with_types(sys.argv[1:], values)]
    return with_types(argv, values)


def _carry_out(verb: str, config: DictConfig) -> None:
    with boundary():  # Hydra would show its own traceback
        checked = check(config)
        if "torch" not in sys.modules and os.environ.get("LOCAL_RANK", "0") == "0":
            note("starting torch and Lightning …")
        from un_lightning.running import launch as verbs

        action: Callable[[Config, dict[str, Any]], None] = getattr(verbs, verb)
        action(checked, plain_values(config))


def _flags_first(argv: list[str]) -> list[str]:
    """The arguments in the order in which argparse takes them: it wants all overrides side by side."""
    taken = ("-cd", "--config-dir", "-cp", "--config-path", "-cn", "--config-name", "-p", "--package")
    late = [
        not word.startswith("-") and "=" in word and before not in taken
        for before, word in zip(["", *argv], argv, strict=False)
    ]
    flags = [word for word, is_late in zip(argv, late, strict=True) if not is_late]
    return flags + [word for word, is_late in zip(argv, late, strict=True) if is_late]


def _own_configs(argv: list[str]) -> list[Path]:
    """The folder that `--config-dir` names."""
    for flag, value in zip([*argv, ""], [*argv[1:], "", ""], strict=False):
        name, _, joined = flag.partition("=")
        if name in ("--config-dir", "-cd"):
            return [Path(joined or value)]
    return []


def _restore(full: str | None) -> None:
    if full is None:
        os.environ.pop(_FULL_ERROR, None)
    else:
        os.environ[_FULL_ERROR] = full
