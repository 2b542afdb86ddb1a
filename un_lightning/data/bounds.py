"""How many tokens a text can give at most, known before any of it is tokenised."""

from pathlib import Path

from un_lightning.config import DataConfig, DataSource
from un_lightning.data.files import Files
from un_lightning.data.sources import open_source
from un_lightning.errors import UserError


PLAIN = (".txt", ".md", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Endings of files that are no longer than the text in them is."""


def most_tokens(config: DataConfig) -> int | None:
    """An upper bound of the tokens that a source gives; None where only reading it tells.

    A token is at least one byte of text, and a document adds one that ends it, which its line end or its file
    pays for.

    Args:
        config: The source.

    Raises:
        UserError: There are no such files.
    """
    source = open_source(config) if config.source is DataSource.files else None
    if not isinstance(source, Files):
        return None
    paths = [Path(path) for path in source.paths]
    if not all(path.suffix.lower() in PLAIN for path in paths):
        return None
    return sum(path.stat().st_size + 1 for path in paths)


def refuse_too_much(config: DataConfig) -> None:
    """Refuse a budget that a text cannot fill, before it is tokenised.

    Raises:
        UserError: The text is too short.
    """
    most = most_tokens(config)
    if most is not None and config.tokens > most:
        raise UserError(
            f"data.tokens={config.tokens:,} is more than the text can hold: its files have {most:,} bytes, "
            f"and a token has one at least; set data.tokens to {most // 4:,} (usual for English) or less"
        )
