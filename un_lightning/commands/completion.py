"""Completion of the console script: Hydra completes keys and groups, but knows no verbs."""

import os
from collections.abc import Callable, Collection

from un_lightning.compose import config_folders
from un_lightning.mistakes import experiments


FLAGS = ("-sc", "--shell-completion")


def complete(
    argv: list[str], verbs: Collection[str], composed: Collection[str], ask: Callable[[], None]
) -> None:
    """Answer a shell that asks for completions, or give it the script that asks.

    Args:
        argv: The arguments, the flag first.
        verbs: All verbs.
        composed: Those that take overrides, which Hydra completes.
        ask: Hands the flag on to Hydra.
    """
    line = os.environ.get("COMP_LINE")
    if line is None or not any("query=" in word for word in argv):
        ask()
        return
    program, _, rest = line.lstrip().partition(" ")
    verb, space, words = rest.lstrip().partition(" ")
    if not space:
        print(" ".join(name for name in verbs if name.startswith(verb)))  # noqa: T201 - a shell reads it
    elif verb in composed and (last := words.rpartition(" ")[2]).startswith("experiment="):
        # Hydra offers no options that lie in folders.
        found = (f"experiment={name}" for name in experiments(config_folders()))
        print(" ".join(word for word in found if word.startswith(last)))  # noqa: T201
    elif verb in composed:
        os.environ["COMP_LINE"] = f"{program} {words.lstrip()}"
        ask()
