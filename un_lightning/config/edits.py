"""Changes to activations, and how neurons are named in a config."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from un_lightning.config.checks import require


class EditKind(StrEnum):
    """What becomes of an activation a (docs/entropy.md).

    `fix` makes it the value, `zero` nothing, `mean` its mean over the pilot's tokens, `scale` value · a,
    `threshold` min(a, value), `relu` max(a, 0), `add` a + value.
    """

    fix = "fix"
    zero = "zero"
    mean = "mean"
    scale = "scale"
    threshold = "threshold"
    relu = "relu"
    add = "add"

    @property
    def takes_value(self) -> bool:
        """Whether it depends on a value that the user chooses."""
        return self in (EditKind.fix, EditKind.scale, EditKind.threshold, EditKind.add)


_NEURON = re.compile(r"L?(\d+)\.(\d+)")


def neuron_names(key: str, names: Sequence[Any]) -> list[str]:
    """Write neurons as `L3.217`, which may also have been given as the string `3.217`.

    Args:
        key: The config's key, for messages.
        names: What the config holds.

    Raises:
        ValueError: The list is empty, or an entry is no neuron's name. A number is refused, because 3.210
            and 3.21 are the same number and different neurons.
    """
    require(len(names) > 0, f"{key} is empty: name neurons like [L3.217], or leave the key out")
    found = []
    for name in names:
        require(
            not isinstance(name, float),
            f"{key} holds the number {name}, whose trailing zeros are lost: write L3.217 or '3.217'",
        )
        parts = _NEURON.fullmatch(str(name).strip())
        require(parts is not None, f"{key} holds '{name}', but neurons are named like L3.217")
        assert parts is not None
        found.append(f"L{int(parts[1])}.{int(parts[2])}")
    return found
