"""What a sweep found: a table of its points, and the metric over what was varied."""

import pandas as pd

from un_lightning.results.results import Results
from un_lightning.sweeps.spec import Sweep
from un_lightning.sweeps.state import Outcome, Status, SweepFolder


SHOWN = 20
"""Most rows of the table on the terminal; the file has all."""


def sweep_results(sweep: Sweep, folder: SweepFolder, outcomes: list[Outcome], total: int | None) -> Results:
    """The points so far as tables, scalars and a figure.

    Args:
        sweep: The file.
        folder: Where the points' summaries lie.
        outcomes: The points that were begun.
        total: Points of the whole sweep, if it has an end.
    """
    points = points_table(sweep, folder, outcomes)
    states = [one.status for one in outcomes]
    results = Results(tables={"points": points})
    results.scalars = {
        "analysis": "sweep",
        "sweep": sweep.id,
        "method": sweep.method,
        "points/count": len(outcomes),
        **{f"points/{status}": states.count(status) for status in Status if status is not Status.running},
    }
    results.headline = [
        ("Points finished", f"{states.count(Status.finished)} of {total or len(outcomes)}"),
        *([("Points failed", str(states.count(Status.failed)))] if Status.failed in states else []),
    ]
    metric = sweep.metric
    best = best_outcome(sweep, outcomes)
    if metric is None or best is None or best.metric is None:
        return results
    from un_lightning.figures.sweep import metric_over_parameters

    results.scalars |= {"metric": metric.name, "best/metric": best.metric, "best/point": best.point.number}
    results.headline.append((f"Best {metric.name} ({metric.goal})", f"{best.metric:.6g}"))
    varied = varied_keys(sweep, outcomes)
    results.headline += [(key, str(best.point.values[key])) for key in varied]
    finished = points[points["status"] == Status.finished.value]
    results.figures = {"metric": metric_over_parameters(finished, varied, metric.name, best.point.number)}
    return results


def best_outcome(sweep: Sweep, outcomes: list[Outcome]) -> Outcome | None:
    """The finished point with the best metric; the first of equals."""
    ranked = [one for one in outcomes if one.status is Status.finished and one.metric is not None]
    sign = -1 if sweep.metric is not None and sweep.metric.goal == "maximize" else 1
    return min(ranked, key=lambda one: (sign * (one.metric or 0.0), one.point.number), default=None)


def varied_keys(sweep: Sweep, outcomes: list[Outcome]) -> list[str]:
    """Parameters of which the points have more than one value; all if none has."""
    keys = [parameter.key for parameter in sweep.parameters]
    varied = [key for key in keys if len({str(one.point.values[key]) for one in outcomes}) > 1]
    return varied or keys


def points_table(sweep: Sweep, folder: SweepFolder, outcomes: list[Outcome]) -> pd.DataFrame:
    """One row a point: number, status, values, seconds, error, and every number of its run's summary."""
    rows = []
    for one in sorted(outcomes, key=lambda one: one.point.number):
        scalars = folder.scalars(one.point) if one.status is Status.finished else {}
        numbers = {
            name: float(value)
            for name, value in scalars.items()
            if isinstance(value, int | float) and name not in one.point.values
        }
        row = {"point": one.point.number, "status": one.status.value, **one.point.values}
        row |= {"run_seconds": one.seconds, "exit_code": one.exit_code, "error": one.error}
        rows.append(row | numbers)
    table = pd.DataFrame(rows)
    for parameter in sweep.parameters:
        column = table[parameter.key]
        if not pd.api.types.is_numeric_dtype(column) and not all(isinstance(value, str) for value in column):
            table[parameter.key] = [str(value) for value in column]  # a parquet column has one type
    return table


def terminal_rows(sweep: Sweep, outcomes: list[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table that ends a sweep: the best points first, then the others."""
    varied = varied_keys(sweep, outcomes)
    sign = -1 if sweep.metric is not None and sweep.metric.goal == "maximize" else 1

    def order(one: Outcome) -> tuple[bool, float, int]:
        return one.metric is None, sign * (one.metric or 0.0), one.point.number

    header = ["point", *varied, *([sweep.metric.name] if sweep.metric else []), "status", "seconds"]
    rows = []
    for one in sorted(outcomes, key=order)[:SHOWN]:
        metric = [] if sweep.metric is None else ["" if one.metric is None else f"{one.metric:.6g}"]
        values = [_short(one.point.values[key]) for key in varied]
        rows.append([str(one.point.number), *values, *metric, one.status.value, f"{one.seconds:.1f}"])
    return header, rows


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
