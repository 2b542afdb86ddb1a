"""Every point's config is composed before the first run: a mistake is found in seconds, not after hours."""

from collections.abc import Callable, Iterable, Iterator

from un_lightning.compose import composer
from un_lightning.errors import UserError
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
