"""The paper's five claims about universal neurons, and whether they hold in a table (paper section 4.2)."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class Claim(NamedTuple):
    """Universal neurons are said to have a larger, or a smaller, value than the rest of their layer."""

    text: str
    column: str
    larger: bool


CLAIMS = (
    Claim("larger weight norm", "l2_penalty", True),
    Claim("more negative bias", "input_bias", False),
    Claim("higher skew", "skew", True),
    Claim("higher kurtosis", "kurt", True),
    Claim("lower frequency", "sparsity", False),
)


def claim_table(effects: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Decide every claim for every model.

    A claim holds where the effect has the claimed sign and its p-value, adjusted for all comparisons of the
    run, is below `alpha`. It is reversed where the opposite is as clear, open where neither is (or where
    all neurons point one way and the representatives of near-copies the other), and unknown where the table
    lacks the column or the rest of the neurons.

    Args:
        effects: `model, column, auc, cliffs_delta, auc_clusters, p_auc, q_auc`.
        alpha: False discovery rate.

    Returns:
        One row a model and claim, with `verdict` one of holds, open, reversed, unknown.
    """
    rows = []
    for model, own in effects.groupby("model", sort=False):
        by_column: dict[Any, Any] = own.set_index("column").to_dict("index")
        for claim in CLAIMS:
            row: dict[str, Any] = {"model": model, "claim": claim.text, "column": claim.column}
            effect = by_column.get(claim.column, {})
            row |= {
                name: effect.get(name, np.nan) for name in ("auc", "cliffs_delta", "ks", "p_auc", "q_auc")
            }
            delta, q = row["cliffs_delta"], row["q_auc"]
            if not np.isfinite(delta):
                row["verdict"] = "unknown"
            elif not q < alpha or (delta > 0) != (effect["auc_clusters"] > 0.5):
                row["verdict"] = "open"
            else:
                row["verdict"] = "holds" if (delta > 0) == claim.larger else "reversed"
            rows.append(row)
    return pd.DataFrame(rows)


def claim_line(row: pd.Series, permutations: int) -> tuple[str, str]:
    """A claim and its effect size (AUC, Cliff's δ) as a line of the short table that ends a run."""
    if row["verdict"] == "unknown":
        return str(row["claim"]), f"unknown: no {row['column']} of both groups"
    smallest = 1 / (permutations + 1)
    p = row["p_auc"]
    chance = f"p ≤ {smallest:.1g}" if p <= smallest * 1.0001 else f"p = {p:.2g}"
    return (
        str(row["claim"]),
        f"{row['verdict']}: AUC {row['auc']:.2f}, δ {row['cliffs_delta']:+.2f}, {chance}",
    )
