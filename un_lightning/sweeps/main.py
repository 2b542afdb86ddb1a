"""The command `sweep`: from a sweep file to its table."""

import argparse
from itertools import count
from pathlib import Path

from un_lightning.errors import UserError
from un_lightning.files import make_folder
from un_lightning.results import runs
from un_lightning.sweeps.command import check_command, shown
from un_lightning.sweeps.preflight import check_points, edges
from un_lightning.sweeps.runner import Runner
from un_lightning.sweeps.search import Bayes, Point
from un_lightning.sweeps.spec import Sweep, read_sweep
from un_lightning.sweeps.state import Status, SweepFolder
from un_lightning.terminal import fail, say, show_table, warn


MOST_CHECKED = 500
"""Points whose configs are composed before the first run, at about 0.1 s each."""


def main(argv: list[str]) -> int:
    """Run a sweep file; returns the exit code: 0 if every point finished, 1 if one failed."""
    parser = argparse.ArgumentParser(
        prog="sweep",
        description="Run a W&B sweep file without a server. The same command goes on where it was stopped.",
    )
    parser.add_argument("file", type=Path, help="the sweep file, such as sweeps/universality.yaml")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="points that run at a time")
    parser.add_argument("--count", type=int, metavar="N", help="start at most N points now")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the folder of all runs")
    parser.add_argument("--dry-run", action="store_true", help="check the file and list its points")
    arguments = parser.parse_args(argv)
    try:
        for name in ("workers", "count"):
            value = getattr(arguments, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} is {value}, but must be at least 1")
        return _sweep(arguments)
    except UserError as error:
        fail(str(error))
        return 2


def _sweep(arguments: argparse.Namespace) -> int:
    sweep = read_sweep(arguments.file)
    check_command(sweep)
    folder = SweepFolder(arguments.root / "sweeps" / sweep.id)
    runner = Runner(sweep, folder, arguments.workers, arguments.count)
    if runner.total is None and arguments.count is None:
        raise UserError(
            f"method {sweep.method} has no end: set run_cap in the file, or say --count <points to run now>"
        )
    planned = _planned(runner)
    if not check_points(sweep, _to_check(sweep, planned)):
        warn("the command is none of this project's, so nothing says whether its parameters exist")
    if sweep.early_terminate:
        warn("early_terminate has no effect here: runs report their metric once, at their end")
    if arguments.dry_run:
        for point in planned or []:
            say(f"{point.number}: {shown(point.values)}")
        say(f"{sweep.id}: {runner.total or 'no end of'} points, in {folder.path}")
        return 0
    make_folder(folder.path)
    with runs.lock(folder.path):
        runner = Runner(sweep, folder, arguments.workers, arguments.count)
        done = sum(one.status is Status.finished for one in runner.outcomes.values())
        if done:
            say(f"going on with {folder.path}: {done} points are finished")
        runner.run()
        return _conclude(runner)


def _to_check(sweep: Sweep, planned: list[Point]) -> list[Point]:
    """All points that are known, or of very many every value of every parameter and some of the points."""
    if 0 < len(planned) <= MOST_CHECKED:
        return planned
    return [*edges(sweep), *planned[:: len(planned) // MOST_CHECKED + 1]]


def _planned(runner: Runner) -> list[Point]:
    """The points that are known before the first run; a Bayesian search knows none."""
    if isinstance(runner.search, Bayes):
        return []
    total = runner.total or len(runner.outcomes) + int(runner.left)
    points = (runner.search.propose(number) for number in count(1))
    return [point for point, _ in zip(points, range(total), strict=False) if point is not None]


def _conclude(runner: Runner) -> int:
    from un_lightning.sweeps.outcome import SHOWN, sweep_results, terminal_rows
    from un_lightning.terminal import show_results

    outcomes = list(runner.outcomes.values())
    if outcomes:
        results = sweep_results(runner.sweep, runner.folder, outcomes, runner.total)
        results.write(runner.folder.path)
        show_table(*terminal_rows(runner.sweep, outcomes))
        if len(outcomes) > SHOWN:
            say(f"the first {SHOWN} of {len(outcomes)} points; tables/points.parquet has all")
        show_results(results.headline, runner.folder.path, sum(one.seconds for one in outcomes))
    if runner.stopped_by is not None:
        say("stopped; the same command goes on")
        return 128 + runner.stopped_by
    return int(any(one.status is Status.failed for one in outcomes))
