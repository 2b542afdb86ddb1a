"""Range checks that name the key."""

from typing import Any


def require(condition: bool, message: str) -> None:
    """Refuse a config.

    Raises:
        ValueError: The condition does not hold; the message is shown to the user.
    """
    if not condition:
        raise ValueError(message)


def file_name(key: str, name: str) -> None:
    """Refuse a name that becomes a part of file names, and cannot, or that commands a terminal.

    Raises:
        ValueError: The name is empty or long, begins with a dot, or holds slashes or control characters.
    """
    whole = bool(name.strip()) and len(name.encode()) <= 100
    plain = name.isprintable() and not name.startswith(".") and not {*name} & {"/", "\\"}
    require(whole and plain, f"{key} is {name!r}, but must be a name that a file can have, such as seed-1")


def at_least(owner: str, config: Any, **minima: int | float) -> None:
    """Refuse values below their minimum.

    Raises:
        ValueError: A value is too small; the message names the key.
    """
    for name, minimum in minima.items():
        value = getattr(config, name)
        require(value >= minimum, f"{owner}.{name} is {value}, but must be at least {minimum}")
