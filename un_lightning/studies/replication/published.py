"""The published values: which there are, and whether ours agree."""

import json
import math
from csv import DictReader
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

from un_lightning.errors import UserError


class Verdict(StrEnum):
    """What a comparison says."""

    passed = "pass"
    failed = "fail"
    not_comparable = "not comparable"
    """The published value says too little, or was defined too differently, to be judged by."""
    missing = "not computed"
    """Ours does not exist: the study was left out, or the model lacks the neuron."""
    unpublished = ""
    """Nobody has published a value."""


@dataclass(frozen=True)
class Published:
    """One value of the paper."""

    name: str
    """What is compared, as `<study>/<quantity>` (`un_lightning.studies.replication.ours`)."""
    what: str
    """The same in words."""
    where: str
    """Section or figure of the paper, or where its repository has it."""
    value: Any
    """A number or nested lists of them; entries of None are not compared."""
    tolerance: float | None
    """Largest absolute difference that passes; None where nothing can be judged."""
    is_range: bool
    """Whether `value` is the lowest and the highest that passes."""
    why: str
    """Where the tolerance comes from."""

    def verdict(self, ours: Any) -> Verdict:
        """Compare a value of ours."""
        if self.tolerance is None and not self.is_range:
            return Verdict.not_comparable
        if ours is None or ours != ours:
            return Verdict.missing
        if self.is_range:
            low, high = self.value
            return Verdict.passed if low <= ours <= high else Verdict.failed
        return Verdict.passed if within(self.value, ours, float(self.tolerance or 0)) else Verdict.failed


def within(published: Any, ours: Any, tolerance: int | float) -> bool:
    """Whether two values of the same form differ by no more than an absolute tolerance anywhere.

    What the published value lacks (None) is not compared; what ours lacks does not agree.
    """
    if published is None:
        return True
    if isinstance(published, list):
        return (
            isinstance(ours, list)
            and len(published) == len(ours)
            and all(within(a, b, tolerance) for a, b in zip(published, ours, strict=True))
        )
    if not isinstance(ours, int | float) or not math.isfinite(ours):
        return False
    return abs(published - ours) <= tolerance * (1 + 1e-9)  # decimal tolerances are no binary numbers


def published_models() -> list[str]:
    """Models of the paper of which there are values."""
    return list(dict.fromkeys(row["model"] for row in _rows()))


def published_values(model: str | None) -> list[Published]:
    """The values of one model; none if no model is named.

    Raises:
        UserError: Nothing is known of such a model.
    """
    if model is None:
        return []
    found = [_published(row) for row in _rows() if row["model"] == model]
    if not found:
        raise UserError(
            f"analysis.published is '{model}', but published are values of {', '.join(published_models())}"
        )
    return found


def _rows() -> list[dict[str, str]]:
    text = files("un_lightning.studies.replication").joinpath("published.csv").read_text(encoding="utf-8")
    return list(DictReader(text.splitlines()))


def _published(row: dict[str, str]) -> Published:
    is_range = row["tolerance"] == "range"
    return Published(
        name=row["name"],
        what=row["what"],
        where=row["where"],
        value=json.loads(row["value"]),
        tolerance=float(row["tolerance"]) if row["tolerance"] and not is_range else None,
        is_range=is_range,
        why=row["why"],
    )
