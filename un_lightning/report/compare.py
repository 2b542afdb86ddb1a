"""Runs side by side: what differs in their configs, their scalars, their figures, their neurons."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from un_lightning.figures.style import HUES
from un_lightning.report.finished import Run
from un_lightning.report.joined import join_neurons, packed
from un_lightning.report.page import render
from un_lightning.results.results import DOTS_PER_INCH


MOST_FIGURES = 12
"""Runs whose figures are embedded; of more, those of the first."""
_MISSING = "–"


def compare_page(runs: Sequence[Run], title: str, neurons: bool = True) -> str:
    """The page that compares runs.

    Args:
        runs: Finished runs.
        title: Heading of the page.
        neurons: Whether to join and embed the neuron tables.

    Returns:
        HTML that needs no other file and asks for none.

    Raises:
        UserError: A neuron table cannot be read.
    """
    differing, partial, same = config_keys(runs)
    joined = join_neurons(runs) if neurons else []
    return render(
        "compare.html",
        title=title,
        runs=[
            {"label": run.label, "name": run.name, "hue": HUES[place % len(HUES)], "folder": str(run.folder)}
            | {"analysis": run.analysis, "summary": run.summary}
            for place, run in enumerate(runs)
        ],
        differing=[(key, [text(run.config.get(key, _MISSING)) for run in runs]) for key in differing],
        partial=[(key, [text(run.config.get(key, _MISSING)) for run in runs]) for key in partial],
        same=[(key, text(next(run.config[key] for run in runs if key in run.config))) for key in same],
        scalars=[
            (name, [text(run.summary.get(name, _MISSING)) for run in runs]) for name in scalar_names(runs)
        ],
        chart=chart_data(runs, differing),
        figures=figure_rows(runs),
        more_figures=max(0, len(runs) - MOST_FIGURES),
        tables=[
            {
                "title": each.title,
                "runs": [run.label for run in each.runs],
                "left_out": each.left_out,
                "data": packed(each.table),
                "rows": len(each.table),
            }
            for each in joined
        ],
    )


def config_keys(runs: Sequence[Run]) -> tuple[list[str], list[str], list[str]]:
    """Sort the keys of the runs' configs.

    Returns:
        Keys whose values differ between the runs that have them; keys that only some have, with one value;
        and keys that all share.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.config))
    values = {key: [text(run.config[key]) for run in runs if key in run.config] for key in keys}
    differing = [key for key in keys if len({*values[key]}) > 1]
    partial = [key for key in keys if len({*values[key]}) == 1 and len(values[key]) < len(runs)]
    return differing, partial, [key for key in keys if key not in {*differing, *partial}]


def scalar_names(runs: Sequence[Run]) -> list[str]:
    """Names of scalars: those of all runs first, and numbers before texts."""
    names = list(dict.fromkeys(name for run in runs for name in run.summary))

    def order(name: str) -> tuple[bool, int]:
        having = [run.summary[name] for run in runs if name in run.summary]
        return not any(_is_number(value) for value in having), -len(having)

    return sorted(names, key=order)


def chart_data(runs: Sequence[Run], differing: Sequence[str]) -> dict[str, Any]:
    """Every number that runs can be drawn by: scalars, and config keys that differ."""
    scalars = {
        name: [run.summary.get(name) if _is_number(run.summary.get(name)) else None for run in runs]
        for name in scalar_names(runs)
    }
    axes = {
        key: [value if _is_number(value) else text(value) for value in (run.config.get(key) for run in runs)]
        for key in differing
        if key != "name"
    }
    return {
        "labels": [run.label for run in runs],
        "names": [run.name for run in runs],
        "hues": [HUES[place % len(HUES)] for place in range(len(runs))],
        "scalars": {name: values for name, values in scalars.items() if any(v is not None for v in values)},
        "keys": axes,
    }


def figure_rows(runs: Sequence[Run]) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """Figures by name: the runs that have one, the image as the page embeds it, and its width in pixels."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for run in runs[:MOST_FIGURES]:
        for name, path in run.figures().items():
            image = path.read_bytes()
            width = int.from_bytes(image[16:20], "big") * 96 // DOTS_PER_INCH  # a PNG begins with its size
            data = base64.b64encode(image).decode()
            found.setdefault(name, []).append((run.label, f"data:image/png;base64,{data}", width))
    return sorted(found.items(), key=lambda item: -len(item[1]))


def text(value: Any) -> str:
    """A value of a config or summary as people read it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
