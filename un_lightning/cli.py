"""From the command line to a checked config, without torch: mistakes are answered in about a second."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from un_lightning.config import Config, register_schemas
from un_lightning.errors import UserError
from un_lightning.terminal import fail


VERBS = ("run", "prepare", "train")


def configs_folder() -> Path:
    """Where the shipped configs lie: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def check(config: DictConfig) -> Config:
    """Turn a composed config into objects, which checks ranges and combinations.

    Raises:
        UserError: A value is missing or out of range; the message names the key.
    """
    if OmegaConf.is_missing(config, "name"):
        raise UserError(f"no experiment was chosen: add experiment=<name>, one of {', '.join(experiments())}")
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"these keys have no value: {', '.join(missing)}")
    try:
        checked = OmegaConf.to_object(config)
    except (ValueError, OmegaConfBaseException) as error:
        raise UserError(str(error)) from error
    assert isinstance(checked, Config)
    return checked


def experiments() -> list[str]:
    """Names of the shipped experiments."""
    folder = configs_folder() / "experiment"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def launch(verb: str, argv: list[str]) -> None:
    """Compose the config that `argv` asks for and carry out one verb.

    Args:
        verb: One of `VERBS`.
        argv: Hydra's overrides and flags, without the program's name.
    """
    original = sys.argv
    register_schemas()

    def job(config: DictConfig) -> None:
        # Lightning starts the other ranks with this process's own command line.
        sys.argv = original
        try:
            checked = check(config)
            from un_lightning import launch as verbs

            action: Callable[[Config, dict[str, Any]], None] = getattr(verbs, verb)
            plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
            assert isinstance(plain, dict)
            action(checked, {str(key): value for key, value in plain.items()})
        except UserError as error:
            fail(str(error))
            sys.exit(2)

    sys.argv = [original[0], *argv]
    try:
        hydra.main(version_base="1.3", config_path=str(configs_folder()), config_name="config")(job)()
    finally:
        sys.argv = original


def main() -> None:
    """The console script: `un-lightning run|prepare|train experiment=<name> key=value …`."""
    if len(sys.argv) < 2 or sys.argv[1] not in VERBS:
        fail(f"usage: un-lightning {'|'.join(VERBS)} experiment=<name> key=value …")
        sys.exit(2)
    launch(sys.argv[1], sys.argv[2:])
