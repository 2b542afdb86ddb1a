"""What a sweep's folder remembers of its points, so that finished ones are never run again."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from un_lightning.errors import UserError
from un_lightning.files import atomic_write
from un_lightning.results.runs import SUMMARY
from un_lightning.sweeps.search import Point


POINTS = "points.json"


class Status(StrEnum):
    """How far a point is."""

    running = "running"
    finished = "finished"
    failed = "failed"
    interrupted = "interrupted"


@dataclass
class Outcome:
    """A point that was begun, and what came out."""

    point: Point
    status: Status = Status.running
    seconds: float = 0.0
    exit_code: int | None = None
    metric: float | None = None
    error: str = ""
    """Last line that a failed run printed."""


class SweepFolder:
    """`<root>/sweeps/<id>`: a run folder for every point, their output in `logs/`, and `points.json`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run_dir(self, point: Point) -> Path:
        """The run folder of a point."""
        return self.path / f"{point.number:04}"

    def log(self, point: Point) -> Path:
        """What a point prints."""
        return self.path / "logs" / f"{point.number:04}.txt"

    def values_file(self, point: Point, suffix: str) -> Path:
        """The values of a point, as W&B's agent would leave them."""
        return self.path / "logs" / f"{point.number:04}{suffix}"

    def read(self) -> dict[int, Outcome]:
        """The points that were begun, by number.

        A point that was running when its sweep was killed is finished if its run has a summary.

        Raises:
            UserError: The file is damaged.
        """
        path = self.path / POINTS
        if not path.is_file():
            return {}
        try:
            outcomes = [_outcome(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path} cannot be read ({error}): mend it, or remove {self.path}") from error
        return {outcome.point.number: outcome for outcome in outcomes}

    def write(self, outcomes: Iterable[Outcome]) -> None:
        """Note how far the points are.

        Raises:
            CannotWriteError: The disk is full or the folder cannot be written.
        """
        entries = [asdict(outcome) for outcome in sorted(outcomes, key=lambda one: one.point.number)]
        atomic_write(self.path / POINTS, json.dumps(entries, indent=1, allow_nan=False) + "\n")

    def scalars(self, point: Point) -> dict[str, Any]:
        """The summary of a finished point's run; empty where its program wrote none."""
        try:
            summary = json.loads((self.run_dir(point) / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return summary if isinstance(summary, dict) else {}


def _outcome(entry: dict[str, Any]) -> Outcome:
    point = entry.pop("point")
    point = Point(point["number"], point["values"], tuple(point["drawn"]))
    return Outcome(point=point, status=Status(entry.pop("status")), **entry)
