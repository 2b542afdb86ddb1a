"""From overrides to a checked config, without torch."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from un_lightning.config import (
    AnalysisConfig,
    Config,
    DataConfig,
    LoggerConfig,
    TrainerConfig,
    register_schemas,
    registry,
    search_path,
)
from un_lightning.errors import UserError
from un_lightning.mistakes import explain, refuse_twice, refuse_unknown
from un_lightning.results.runs import experiment_folder
from un_lightning.terminal import warn


Compose = Callable[[list[str]], tuple[Config, dict[str, Any]]]
"""Turns overrides into a checked config and the same as plain values; raises `UserError`."""


def configs_folder() -> Path:
    """Where the shipped configs lie: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def check(config: DictConfig) -> Config:
    """Turn a composed config into objects, which checks ranges and combinations.

    Raises:
        UserError: A value is missing or out of range, or a key is unknown; the message names the key.
    """
    if OmegaConf.is_missing(config, "name"):
        raise UserError(
            "no experiment was chosen: add experiment=<name>, such as tiny/universality; "
            "un-lightning list shows all"
        )
    for group in ("data", "trainer", "logger"):
        if OmegaConf.is_missing(config, group):
            raise UserError(f"no {group} is chosen: add {group}=<name>")
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"these keys have no value: {', '.join(missing)}")
        checked: Any = OmegaConf.to_object(config)
    except (ValueError, OmegaConfBaseException) as error:
        raise UserError(explain(error, [])) from error
    except Exception as error:
        package = registry.package(OmegaConf.select(config, "analysis.kind", default=""))
        if package is None:
            raise
        raise UserError(f"{package} cannot check its settings ({type(error).__name__}: {error})") from error
    assert isinstance(checked, Config)
    refuse_unknown(checked)
    for group, schema in (("data", DataConfig), ("trainer", TrainerConfig), ("logger", LoggerConfig)):
        if not isinstance(getattr(checked, group), schema):
            raise UserError(f"no {group} is chosen: add {group}=<name>")
    analysis = checked.analysis
    if isinstance(analysis, AnalysisConfig):
        _check_kind(analysis)
    experiment_folder(checked.root, checked.name)
    return checked


def config_folders() -> list[Path]:
    """The shipped configs, and those of packages that bring analyses."""
    return [configs_folder(), *registry.config_folders()]


def _check_kind(analysis: AnalysisConfig) -> None:
    """Hold a config against the analysis that it names, and say what is wrong with other packages.

    Raises:
        UserError: There is no such analysis, or the settings are those of another one.
    """
    own = registry.schema(analysis.kind)
    if not isinstance(analysis, own):
        raise UserError(
            f"analysis.kind is '{analysis.kind}', but the settings are a {type(analysis).__name__}: "
            f"choose analysis={analysis.kind}"
        )
    for problem in (*registry.problems(), *registry.remarks(analysis.kind)):
        _warn_once(problem)


@cache
def _warn_once(message: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        warn(message)


def name_multirun(config: DictConfig) -> None:
    """Name the folder of a run of `--multirun` by its (last) overrides, where nothing else names it.

    Args:
        config: Composed for one of the runs.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return
    if config.get("run_dir") is not None or OmegaConf.is_missing(config, "name"):
        return
    words = [word for word in HydraConfig.get().overrides.task if not word.startswith("experiment=")]
    name = re.sub(r"[^\w.=,+-]+", "_", ",".join(words))[-150:] or "default"
    parent = experiment_folder(config.root, config.name) / "multirun"
    places = (parent / (name if number == 1 else f"{name}-{number}") for number in count(1))
    config.run_dir = str(next(place for place in places if not place.exists()))


def plain_values(config: DictConfig) -> dict[str, Any]:
    """A composed config as dictionaries, lists and plain values, to be recorded."""
    plain: Any = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    return plain


@contextmanager
def composer() -> Iterator[Compose]:
    """Compose configs one after the other, without what Hydra sets up for a run."""
    register_schemas()
    GlobalHydra.instance().clear()

    def try_to_compose(arguments: list[str]) -> tuple[Config, dict[str, Any]]:
        refuse_twice(arguments)
        own, words = _own_configs(arguments)
        own_folders = [Path(word.partition("file://")[2].rstrip("]")) for word in own]
        search_path.prefer(own_folders)
        try:
            config = compose("config", overrides=[*words, *own], return_hydra_config=False)
            return check(config), plain_values(config)
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            raise UserError(explain(error, [*config_folders(), *own_folders])) from error

    with initialize_config_dir(version_base="1.3", config_dir=str(configs_folder())):
        yield try_to_compose


def _own_configs(arguments: list[str]) -> tuple[list[str], list[str]]:
    """`--config-dir` as the override that `compose` understands, and the arguments without it."""
    words, own, rest = [], [], iter(arguments)
    for word in rest:
        name, _, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            folder = Path(value or next(rest, "")).absolute()
            if not folder.is_dir():  # as Hydra says it on the command line
                raise UserError(f"Additional config directory '{folder}' not found")
            own.append(f"hydra.searchpath=[file://{folder}]")
        else:
            words.append(word)
    return own, words
