"""Every point's config is composed before the first run: a mistake is found in seconds, not after hours."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from un_lightning.cli import check, configs_folder
from un_lightning.config import register_schemas
from un_lightning.errors import UserError
from un_lightning.mistakes import explain
from un_lightning.sweeps.agent_values import with_types
from un_lightning.sweeps.command import command_words, nested, program_of, shown
from un_lightning.sweeps.search import Point
from un_lightning.sweeps.spec import Sweep


Compose = Callable[[list[str]], None]
"""Checks the config that a command line asks for; raises `UserError`."""


def edges(sweep: Sweep) -> Iterator[Point]:
    """Points at the edges of the space: each value of each parameter, beside the others' first values."""
    keys = [parameter.key for parameter in sweep.parameters]
    choices = [parameter.edges() for parameter in sweep.parameters]
    first = [values[0] for values in choices]
    yield Point(1, dict(zip(keys, first, strict=True)))
    for place, values in enumerate(choices):
        for value in values[1:]:
            yield Point(1, dict(zip(keys, [*first[:place], value, *first[place + 1 :]], strict=True)))


def check_points(sweep: Sweep, points: Iterable[Point]) -> bool:
    """Compose the config of every point.

    Returns:
        Whether there was a config to check: the command may call another program.

    Raises:
        UserError: A parameter does not exist in the config, or a value does not fit.
    """
    with composer() as try_to_compose:
        for point in points:
            values = nested(sweep.parameters, point.values)
            program = program_of(command_words(sweep, values, ""))
            if program is None:
                return False
            try:
                try_to_compose(with_types(program.arguments, values))
            except UserError as error:
                raise UserError(f"{shown(point.values)}: {error}") from error
    return True


@contextmanager
def composer() -> Iterator[Compose]:
    """Compose configs one after the other, without what Hydra sets up for a run."""
    register_schemas()
    GlobalHydra.instance().clear()

    def try_to_compose(arguments: list[str]) -> None:
        own, words = _own_configs(arguments)
        try:
            check(compose("config", overrides=[*words, *own], return_hydra_config=False))
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            folders = [configs_folder(), *(Path(word.partition("file://")[2].rstrip("]")) for word in own)]
            raise UserError(explain(error, folders)) from error

    with initialize_config_dir(version_base="1.3", config_dir=str(configs_folder())):
        yield try_to_compose


def _own_configs(arguments: list[str]) -> tuple[list[str], list[str]]:
    """`--config-dir` as the override that `compose` understands, and the arguments without it."""
    words, own, rest = [], [], iter(arguments)
    for word in rest:
        name, _, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            folder = Path(value or next(rest, "")).absolute()
            own.append(f"hydra.searchpath=[file://{folder}]")
        else:
            words.append(word)
    return own, words
