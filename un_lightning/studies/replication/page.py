"""Our values beside the published ones: as a table, as Markdown and as a page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from un_lightning.report.page import render
from un_lightning.studies.replication.ours import Ours
from un_lightning.studies.replication.published import Published, Verdict


ALWAYS = {
    "neuron_table/universal/count": "universal neurons",
    "neuron_table/universal/percent": "universal neurons (%)",
    "neuron_table/universal/by_layer": "universal neurons of each layer",
    "neuron_table/excess/max": "largest excess",
    "neuron_table/range/universal": "largest less smallest correlation over models, universal neurons",
    "neuron_table/universal/mean/kurt": "mean kurt of universal neurons",
    "neuron_table/rest/mean/kurt": "mean kurt of the others",
    "neuron_table/universal/mean/sparsity": "mean sparsity of universal neurons",
    "neuron_table/rest/mean/sparsity": "mean sparsity of the others",
    "properties/claims/holding": "claims of section 4.2 that hold, of five",
    "properties/pearson/sparsity/in_out_sim": "correlation of frequency and cos(w_in, w_out)",
    "families/vr/median": "median reduction in variance by a neuron's best label",
    "families/families/unexplained/percent": "neurons that no label explains (%)",
    "families/alphabet": "letters that have a neuron",
    "prediction/prediction/count": "prediction neurons",
    "prediction/suppression/count": "suppression neurons",
    "prediction/partition/count": "partition neurons",
    "entropy/untouched/entropy": "entropy of the untouched model",
    "entropy/untouched/loss": "loss of the untouched model",
    "entropy/candidates/norm_mediated": "share of the candidates' effect that passes the final norm, median",
    "entropy/baseline/norm_mediated": "the same for random neurons",
    "attention/value_ratio/median": "mean length of other values over that of BOS, median head",
    "attention/score/min": "lowest score of a neuron and a head",
    "attention/score/max": "highest score",
    "ablation/loss/universal": "loss without universal neurons, less that of the untouched model",
    "ablation/loss/difference": "the same, less that without random neurons",
}
"""What is shown for every family, whether or not anybody has published it."""
COLUMNS = ["study", "what", "where", "ours", "published", "tolerance", "verdict", "why", "name"]


def comparison_table(ours: Ours, published: Sequence[Published]) -> pd.DataFrame:
    """One row a value: ours, the published one, and whether they agree.

    Args:
        ours: The finished studies.
        published: The published values; none for a family that nobody has published about.

    Returns:
        Columns `COLUMNS`; values are JSON, since some are lists.
    """
    known = {one.name: one for one in published}
    names = {study: [] for study in ours.runs}
    for name in [*dict.fromkeys([*ALWAYS, *known])]:
        names.setdefault(name.partition("/")[0], []).append(name)
    rows = []
    for study, own in names.items():
        for name in own:
            value, one = ours.value(name), known.get(name)
            if value is None and one is None:
                continue
            rows.append({
                "study": study,
                "what": one.what if one else ALWAYS[name],
                "where": one.where if one else "",
                "ours": json.dumps(value),
                "published": json.dumps(one.value) if one else "",
                "tolerance": _tolerance(one),
                "verdict": str(one.verdict(value) if one else Verdict.unpublished),
                "why": one.why if one else "",
                "name": name,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict_counts(table: pd.DataFrame) -> dict[str, int]:
    """How many rows have each verdict, for those that have a published value."""
    judged = (Verdict.passed, Verdict.failed, Verdict.missing, Verdict.not_comparable)
    return {str(verdict): int((table["verdict"] == str(verdict)).sum()) for verdict in judged}


def markdown_page(title: str, table: pd.DataFrame, runs: Mapping[str, str]) -> str:
    """The table as Markdown."""
    lines = [f"# {title}", "", _sentence(table), ""]
    for study, rows in table.groupby("study", sort=False):
        lines += [f"## {study}", "", f"From `{runs.get(str(study), 'no run')}`.", ""]
        lines += ["| quantity | where | ours | published | tolerance | |", "|---|---|---|---|---|---|"]
        for row in rows.to_dict("records"):
            cells = (*_shown(row), row["verdict"])
            lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def html_page(title: str, table: pd.DataFrame, runs: Mapping[str, str]) -> str:
    """The table as a page that needs no network; text of runs is escaped."""
    studies = [
        {
            "name": str(study),
            "run": runs.get(str(study), "no run"),
            "rows": [
                {"cells": _shown(row), "verdict": row["verdict"], "why": row["why"], "name": row["name"]}
                for row in rows.to_dict("records")
            ],
        }
        for study, rows in table.groupby("study", sort=False)
    ]
    return render("replication.html", title=title, sentence=_sentence(table), studies=studies)


def _sentence(table: pd.DataFrame) -> str:
    counts = verdict_counts(table)
    if not sum(counts.values()):
        return "Nobody has published values of this family: these are ours alone."
    return (
        f"{counts['pass']} of {counts['pass'] + counts['fail']} values that can be compared agree within "
        f"their tolerance; {counts['not computed']} were not computed, {counts['not comparable']} are not "
        "comparable."
    )


def _shown(row: Mapping[Any, Any]) -> tuple[str, str, str, str, str]:
    """Quantity, place, both values and tolerance, short enough for a cell."""
    ours, published = (json.loads(row[key]) if row[key] else None for key in ("ours", "published"))
    if ours is not None and published is not None and np.size(published) > 30:
        return row["what"], row["where"], _farthest(ours, published), "matrix", row["tolerance"]
    return row["what"], row["where"], _number(ours), _number(published), row["tolerance"]


def _farthest(ours: Any, published: Any) -> str:
    wanted = np.array(published, dtype=np.float64)
    found = np.array(ours, dtype=np.float64)
    if wanted.shape != found.shape:
        return "another shape"
    off = np.abs(found - wanted)
    return f"off by {np.nanmean(off):.2g} on average, {np.nanmax(off):.3g} at most"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return "matrix" if any(isinstance(one, list) for one in value) else ", ".join(map(_number, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _tolerance(one: Published | None) -> str:
    if one is None or (one.tolerance is None and not one.is_range):
        return ""
    return "range" if one.is_range else f"± {one.tolerance:g}"
