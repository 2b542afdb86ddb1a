"""Range checks that name the key."""

from typing import Any


def require(condition: bool, message: str) -> None:
    """Refuse a config.

    Raises:
        ValueError: The condition does not hold; the message is shown to the user.
    """
    if not condition:
        raise ValueError(message)


def at_least(owner: str, config: Any, **minima: int | float) -> None:
    """Refuse values below their minimum.

    Raises:
        ValueError: A value is too small; the message names the key.
    """
    for name, minimum in minima.items():
        value = getattr(config, name)
        require(value >= minimum, f"{owner}.{name} is {value}, but must be at least {minimum}")
