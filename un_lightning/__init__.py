"""Find the neurons that independently trained language models share, and show what they do.

Importing the package costs nothing: torch and the model libraries load only where they are used,
so that a mistake in a config is answered in about a second. What Python users call (docs/python.md) is found
when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from un_lightning.api.correlate import correlate
    from un_lightning.api.family import Family
    from un_lightning.api.finished import Run, open_run, runs
    from un_lightning.api.load import load_family
    from un_lightning.api.run import run
    from un_lightning.errors import UserError
    from un_lightning.models.edits import Edit


__version__ = "0.1.0"

__all__ = ["Edit", "Family", "Run", "UserError", "correlate", "load_family", "open_run", "run", "runs"]

_HOMES = {
    "Edit": "models.edits",
    "Family": "api.family",
    "Run": "api.finished",
    "UserError": "errors",
    "correlate": "api.correlate",
    "load_family": "api.load",
    "open_run": "api.finished",
    "run": "api.run",
    "runs": "api.finished",
}
"""Module in which each name is defined."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
