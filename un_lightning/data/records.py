"""How a record of a file or a dataset becomes a document."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from un_lightning.config import DataConfig
from un_lightning.data.documents import Document
from un_lightning.errors import UserError


MISSING_SUBSET = "all"
"""Subset of a document without a label."""

_CERTAIN = 1000
"""So many records without a label are no accident."""

Record = dict[str, Any]


class Candidate(NamedTuple):
    """A document that has not been read yet."""

    name: str
    """The same on every machine and in every run."""
    size: int
    """About how many characters it has."""
    record: Callable[[], Record | None]
    """Reads it; None where it is broken."""


class Reader:
    """Turns records into documents, and counts what it leaves out and why.

    Args:
        config: Columns, smallest length and subsets.
        problems: Where to count.
    """

    def __init__(self, config: DataConfig, problems: Counter[str]) -> None:
        self.config = config
        self.problems = problems
        self.unlabelled = 0
        self.labelled = False
        self.columns: list[str] = []
        self.subsets: set[str] = set()
        """Those that were met, chosen or not."""

    def read(self, candidate: Candidate) -> Document | None:
        """The document of a record, or None if it is broken, short or of another subset.

        Raises:
            UserError: No record has `data.subset_column`.
        """
        c = self.config
        record = candidate.record()
        text = reach(record, c.text_column)
        if not isinstance(text, str):
            self.problems["broken"] += 1
            return None
        if len(text) <= c.min_characters:
            self.problems["short"] += 1
            return None
        subset = MISSING_SUBSET
        if c.subset_column:
            label = reach(record, c.subset_column)
            if label is None:
                self._miss(record)
            else:
                self.labelled, subset = True, clean(str(label))
        self.subsets.add(subset)
        if c.subset and subset not in c.subset:
            self.problems["of other subsets"] += 1
            return None
        return Document(candidate.name, clean(text), subset)

    def finish(self) -> None:
        """What can be said only when all has been read.

        Raises:
            UserError: A column that no record has, or subsets that no document is of.
        """
        if self.unlabelled and not self.labelled:
            self._refuse()
        missing = sorted(set(self.config.subset or ()) - self.subsets)
        if missing and self.subsets:
            there = ", ".join(sorted(self.subsets))
            raise UserError(f"data.subset: no document is of {', '.join(missing)}; there are {there}")

    def _miss(self, record: Record | None) -> None:
        self.unlabelled += 1
        self.problems["without a subset"] += 1
        self.columns = self.columns or sorted(record or ())
        if self.unlabelled >= _CERTAIN and not self.labelled:
            self._refuse()

    def _refuse(self) -> None:
        raise UserError(
            f"data.subset_column={self.config.subset_column}: none of {self.unlabelled:,} records has it, "
            f"only {', '.join(self.columns)}"
        )


def clean(text: str) -> str:
    """The text with question marks for half characters, which JSON can hold and no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def reach(record: Any, column: str) -> Any:
    """The value at a dotted column name, also through JSON in a string; None where the path breaks off."""
    if isinstance(record, dict) and column in record:
        return record[column]
    for key in column.split("."):
        if isinstance(record, str) and record.startswith("{"):
            record = parse(record)
        record = record.get(key) if isinstance(record, dict) else None
    return record


def parse(line: str | bytes) -> Record | None:
    """The record of a line of JSON; None where it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
