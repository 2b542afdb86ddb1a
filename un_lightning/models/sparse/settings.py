"""Settings that come with an encoder: each is used, known to say nothing of encoding, or refused by name."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from un_lightning.errors import UserError


_NOTHING = (None, False, 0, "", "none", [], {}, [None])


class Settings:
    """A configuration that remembers which of its keys were read."""

    def __init__(self, name: str, values: Mapping[str, Any], silent: Collection[str]) -> None:
        """Begin to read.

        Args:
            name: What error messages call the encoder.
            values: The configuration.
            silent: Keys that say nothing of how activations are encoded.
        """
        self.name, self.values = name, values
        self.read = set(silent)

    def take(self, key: str, default: Any = None) -> Any:
        """A value; what is absent or None is the default."""
        self.read.add(key)
        value = self.values.get(key)
        return default if value is None else value

    def choose(self, key: str, default: str, allowed: Collection[str]) -> str:
        """A value out of some.

        Raises:
            UserError: It is none of them.
        """
        value = str(self.take(key, default))
        if value not in allowed:
            raise UserError(f"{self.name}: its {key} is '{value}'; known are {', '.join(allowed)}")
        return value

    def whole(self, key: str) -> int:
        """A whole number.

        Raises:
            UserError: It is absent or none.
        """
        value = self.take(key)
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise UserError(f"{self.name}: its {key} is {value!r}, but must be a whole number")
        return int(value)

    def refuse_rest(self) -> None:
        """Refuse what nobody has read and what is not known to be harmless.

        Raises:
            UserError: There is such a key, and its value says something.
        """
        rest = [key for key in self.values if key not in self.read and self.values[key] not in _NOTHING]
        if rest:
            shown = ", ".join(f"{key}={self.values[key]!r}" for key in rest)
            raise UserError(
                f"{self.name} has settings whose meaning is not known here: {shown}. An encoder that is only "
                "half understood would give wrong latents; take the keys out of its file if they say nothing "
                "of encoding"
            )


def tensor(name: str, weights: Mapping[str, Tensor], *keys: str) -> Tensor:
    """The first of some tensors that exists, in float32.

    Raises:
        UserError: None of them does.
    """
    for key in keys:
        if key in weights:
            return weights[key].float()
    raise UserError(f"{name} lacks {keys[0]}; it holds {', '.join(sorted(weights)) or 'nothing'}")
