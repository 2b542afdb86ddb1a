"""Secrets (tokens, keys, passwords) are taken out of everything that is recorded about a run."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


MASK = "***"
# `token` is a credential where it ends a name: `tokens`, `tokenizer` and `tokens_per_second` are none.
_CREDENTIAL = r"[\w.-]*(?:token|[_-]key|api_?key|(?:password|passwd|secret|credential)[\w-]*)"
_NAME = re.compile(_CREDENTIAL, re.IGNORECASE)
_PAIR = re.compile(
    rf"(?P<name>(?<![\w.-]){_CREDENTIAL})(?P<sign>['\"]?\s*[=:]\s*)"
    r"(?P<value>\{.*\}|\[.*\]|\"[^\"]*\"|'[^']*'|[^\s,}\]]+)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_ACCESS = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
"""Hugging Face's access tokens, which give themselves away by how they begin."""


def redact(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a config with every secret replaced by `***`.

    A secret is what stands under a key like `hub_token`, `api_key`, `password` or `client_secret`, at any
    depth, and a password or token in an address. None and booleans are kept: they say whether there is a
    secret, and hold none.

    Args:
        config: The config; it is not changed.

    Returns:
        The copy, in which mappings are plain dictionaries and tuples are lists.
    """
    return {
        key: MASK if _NAME.fullmatch(str(key)) and not _harmless(value) else _walk(value)
        for key, value in config.items()
    }


def redact_argument(argument: str) -> str:
    """Mask the values of secrets in one argument of a command line, such as `models.hub_token=abc`."""
    argument = _PASSWORD.sub(rf"\1:{MASK}@", argument)
    return _ACCESS.sub(MASK, _PAIR.sub(rf"\g<name>\g<sign>{MASK}", argument))


@contextmanager
def redacted_arguments() -> Iterator[None]:
    """Mask the secrets in `sys.argv` while a library takes down the command line."""
    arguments = sys.argv
    sys.argv = [redact_argument(argument) for argument in arguments]
    try:
        yield
    finally:
        sys.argv = arguments


def _harmless(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _walk(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_walk(item) for item in value]
    return redact_argument(value) if isinstance(value, str) else value
