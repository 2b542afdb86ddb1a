"""Runs the points of a sweep in some processes at a time, and survives all of them."""

import math
import shutil
import signal
import time
from pathlib import Path

from un_lightning.errors import UserError
from un_lightning.files import atomic_write, make_folder
from un_lightning.results import runs
from un_lightning.sweeps.command import shown
from un_lightning.sweeps.processes import Process, can_go_on, last_line, stop_requests
from un_lightning.sweeps.search import Point, Search, make_search
from un_lightning.sweeps.spec import Sweep
from un_lightning.sweeps.state import Outcome, Status, SweepFolder
from un_lightning.terminal import duration, note, say, warn


PAUSE = 0.1
"""Seconds between two looks at the processes."""


class Runner:
    """One session of a sweep; the folder's lock must be held."""

    def __init__(self, sweep: Sweep, folder: SweepFolder, workers: int, count: int | None = None) -> None:
        """Read what earlier sessions did.

        Args:
            sweep: The file.
            folder: Its folder, which exists.
            workers: Points that run at a time.
            count: Points that this session starts at most; None for all.

        Raises:
            UserError: The folder's record is damaged, or Bayesian search has no Optuna.
        """
        self.sweep = sweep
        self.folder = folder
        self.workers = workers
        self.left = math.inf if count is None else count
        self.outcomes = folder.read()
        self._take_what_finished_alone()
        ended = [one for one in self.outcomes.values() if one.status is Status.finished]
        self.search: Search = make_search(sweep, [(one.point, one.metric) for one in ended])
        self._again = [one.point for one in self.outcomes.values() if one.status is not Status.finished]
        self._next = max(self.outcomes, default=0) + 1
        self._running: list[Process] = []
        self.stopped_by: int | None = None

    @property
    def total(self) -> int | None:
        """Points of the whole sweep; None if nothing says how many."""
        numbers = [number for number in (self.search.size, self.sweep.run_cap) if number is not None]
        return min(numbers, default=None)

    def run(self) -> None:
        """Run what is left, until there is no more, the target is reached or somebody stops it."""
        make_folder(self.folder.path / "logs")
        atomic_write(self.folder.path / "sweep.yaml", self.sweep.text)
        with stop_requests() as asked:
            try:
                while self._start(asked) or self._running:
                    self._look(asked)
                    time.sleep(PAUSE)
            finally:
                self._abandon()
        self.stopped_by = asked[0] if asked else None

    def _start(self, asked: list[int]) -> bool:
        """Start as many points as workers are free; whether there may be more."""
        while not asked and len(self._running) < self.workers:
            point = self._propose()
            if point is None:
                return False
            self.left -= 1
            self._make_way(point)
            self.outcomes[point.number] = Outcome(point)
            self.folder.write(self.outcomes.values())
            slot = min({*range(self.workers)} - {process.slot for process in self._running})
            note(f"[{self._place(point)}] {shown(point.values)}")
            try:
                self._running.append(Process(self.sweep, self.folder, point, slot, self.workers))
            except OSError as error:
                self._end(self.outcomes[point.number], Status.failed, str(error))
        return not asked

    def _propose(self) -> Point | None:
        if self.left <= 0 or self._reached():
            return None
        if self._again:
            return self._again.pop(0)
        if self.total is not None and self._next > self.total:
            return None
        point = self.search.propose(self._next)
        self._next += 1
        return point

    def _reached(self) -> bool:
        metric = self.sweep.metric
        values = [one.metric for one in self.outcomes.values() if one.metric is not None]
        return metric is not None and any(metric.reached(value) for value in values)

    def _look(self, asked: list[int]) -> None:
        """Take note of the processes that have ended; pass a wish to stop on."""
        for process in list(self._running):
            code = process.exit_code()
            if code is None:
                if len(asked) > process.signals:
                    process.stop(signal.SIGTERM if process.signals == 0 else signal.SIGKILL)
                continue
            self._running.remove(process)
            outcome = self.outcomes[process.point.number]
            outcome.exit_code, outcome.seconds = code, round(process.seconds, 1)
            run_dir = self.folder.run_dir(process.point)
            # Other programs than ours may make no run folder; a run that has one is whole with a summary.
            whole = code == 0 and (runs.is_finished(run_dir) or not run_dir.exists())
            if whole:
                self._end(outcome, Status.finished)
            elif asked:
                self._end(outcome, Status.interrupted)
            else:
                quiet = "it ended without a summary" if code == 0 else ""
                self._end(outcome, Status.failed, quiet or last_line(self.folder.log(process.point)))

    def _end(self, outcome: Outcome, status: Status, error: str = "") -> None:
        outcome.status, outcome.error = status, error
        if status is Status.finished:
            outcome.metric = self._metric(outcome.point)
        self.search.tell(outcome.point, outcome.metric)
        self.folder.write(self.outcomes.values())
        place, took = self._place(outcome.point), duration(outcome.seconds)
        if status is Status.failed:
            warn(f"[{place}] failed after {took}: {error}\n  see {self.folder.log(outcome.point)}")
        elif status is Status.finished:
            metric = self.sweep.metric.name if self.sweep.metric else ""
            if metric and outcome.metric is None:
                warn(f"[{place}] its summary has no number {metric}")
            note(
                f"[{place}] {f'{metric} {outcome.metric:.6g}, ' if outcome.metric is not None else ''}{took}"
            )

    def _metric(self, point: Point) -> float | None:
        value = self.folder.scalars(point).get(self.sweep.metric.name) if self.sweep.metric else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _place(self, point: Point) -> str:
        return f"{point.number}/{self.total}" if self.total is not None else str(point.number)

    def _take_what_finished_alone(self) -> None:
        """Points whose run ended well after their sweep was killed."""
        for outcome in self.outcomes.values():
            run_dir = self.folder.run_dir(outcome.point)
            if outcome.status is not Status.running or not run_dir.is_dir():
                continue
            _wait_for_another(run_dir)
            if runs.is_finished(run_dir):
                outcome.status, outcome.metric = Status.finished, self._metric(outcome.point)

    def _make_way(self, point: Point) -> None:
        """Remove what an earlier try left, unless the run can go on from there."""
        run_dir = self.folder.run_dir(point)
        if can_go_on(run_dir):
            return
        shutil.rmtree(run_dir, ignore_errors=True)
        self.folder.log(point).unlink(missing_ok=True)

    def _abandon(self) -> None:
        """Leave no process behind where the loop itself fails."""
        for process in self._running:
            process.stop(signal.SIGKILL)


def _wait_for_another(run_dir: Path) -> None:
    """Wait until the process of a killed session, which may still be running, has ended."""
    try:
        with runs.lock(run_dir):
            return
    except UserError:
        say(f"{run_dir} is still being run by an earlier session: waiting for it")
    with runs.lock(run_dir, wait=True):
        return
