"""Tables, figures and scalars of a screening run: those of the exact method as far as they exist."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from un_lightning.analyses.correlation.excess import compare, neuron_table
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import View
from un_lightning.analyses.correlation.report import (
    correlation_figures,
    layer_match_table,
    match_table,
    refuse_broken,
)
from un_lightning.analyses.correlation.summary import Found, correlation_headline, correlation_scalars
from un_lightning.config import CorrelationConfig
from un_lightning.results.results import Results
from un_lightning.stats.followed_pairs import FollowedPairs
from un_lightning.stats.row_summary import RowSummary
from un_lightning.stats.screening import Screened
from un_lightning.stats.support import UnitSupport


EVIDENCE = 10.0
"""Blocks of the sample that must carry a correlation for its absence there to mean anything.

A pair with correlation ρ needs blocks that hold ρ² of the unit's energy (Cauchy-Schwarz). The chance that a
sample has none of them when it should have ten is below 1 in 20,000.
"""


def screen_results(
    config: CorrelationConfig,
    reference: str,
    members: dict[str, MemberSums],
    followed: Mapping[tuple[str, str], FollowedPairs],
    effective: Mapping[str, Float64[Tensor, " units"]],
    share: float,
    count: int,
    support: Mapping[str, UnitSupport],
) -> Results:
    """Everything that is known about the family once the pass is over.

    Args:
        config: Threshold, baseline and candidates.
        reference: The member that scalars and figures are about.
        members: Moments of each model.
        followed: The candidates' sums of each pair.
        effective: Blocks that carry each unit's activity.
        share: Share of the stream's blocks that are in the sample.
        count: Counted tokens.
        support: Tokens and documents in which each model's units are active.

    Raises:
        UserError: A member has no unit that can be correlated.
    """
    refuse_broken(members)
    views: dict[str, dict[str, View]] = {name: {} for name in members}
    certified = {name: members[name].moments.valid.clone() for name in members}
    below_floor = {name: torch.zeros_like(valid) for name, valid in certified.items()}
    for (left, right), pairs in followed.items():
        corr = pairs.correlations(count, members[left].moments, members[right].moments)
        for side, (own, other) in enumerate(((left, right), (right, left))):
            view = candidate_view(pairs.sides[side], pairs.of_candidates(side, corr))
            views[own][other] = view
            certified[own] &= certificates(view, pairs.sides[side], effective[own], share)
            below_floor[own] |= pairs.has_given_up(side)
    tables, compared = [], {}
    for name, member in members.items():
        compared[name] = compare(member, views[name])
        table = neuron_table(member, compared[name], config.threshold, support[name])
        table["certified"] = certified[name].cpu().numpy()
        table["below_floor"] = (below_floor[name] & members[name].moments.valid).cpu().numpy()
        tables.append(table)
    neurons = pd.concat(tables, ignore_index=True)
    matches = pd.concat([match_table(members, name, views[name]) for name in members], ignore_index=True)
    layer_match = layer_match_table(matches, {name: len(m.units.widths) for name, m in members.items()})
    own = neurons[neurons["model"] == reference]
    own_match = layer_match[layer_match["model"] == reference]
    found = Found(neurons, reference, compared[reference], count)
    results = Results(scalars=correlation_scalars(config, found))
    results.scalars |= {
        "screen/certified_percent": percent(own["certified"], own["valid"]),
        "screen/certified_percent_universal": percent(own["certified"], own["universal"]),
        "screen/candidates": config.candidates,
        "screen/followed_pairs": sum(pairs.active for pairs in followed.values()),
        "screen/below_floor": int(own["below_floor"].sum()),
        "screen/silent": int((own["valid"] & own["mean_corr"].isna()).sum()),
        "confidence": config.confidence,
    }
    results.tables = {"neurons": neurons, "matches": matches, "layer_match": layer_match}
    results.figures = correlation_figures(own, own_match, config.threshold)
    units = members[reference].units
    results.headline = correlation_headline(results.scalars, reference, units, config.baseline)
    some = "" if not own["universal"].any() else " of the universal units, "
    shares = [results.scalars[f"screen/certified_percent{what}"] for what in ("_universal", "")]
    results.headline.append(
        (
            f"Certified at {config.confidence:g}",
            (f"{shares[0]:.1f} %{some}" if some else "") + f"{shares[1]:.1f} % of all",
        )
    )
    return results


def candidate_view(screened: Screened, values: Float64[Tensor, "units k"]) -> View:
    """A unit's candidates in the place of its row of correlations, with the sample's baseline."""
    summary = RowSummary(len(values), values.shape[1], 1, values.device, values.dtype)
    summary.best, order = values.sort(dim=1, descending=True)
    partners = screened.partner.gather(1, order)
    summary.best_index = torch.where(summary.best > -torch.inf, partners, -1)
    return View(summary, screened.baseline.to(values.dtype))


def certificates(
    view: View, screened: Screened, effective: Float64[Tensor, " units"], share: float
) -> Bool[Tensor, " units"]:
    """Units whose reported maximum no partner exceeds that is not followed, at the config's confidence.

    Two things are asked for: the bound of all other partners lies below the maximum, and enough of the
    blocks that carry the unit were to be expected in the sample. Neither a silent unit nor one that fires
    in a handful of blocks is certified: what its sample lacks cannot be bounded by the sample's variance.

    Args:
        view: The candidates' correlations over the whole stream, descending.
        screened: The bound.
        effective: Blocks of the stream that carry each unit's activity.
        share: Share of the stream's blocks that are in the sample.
    """
    best = view.summary.best[:, 0]
    evidence = best.clamp(min=0).square() * effective * share
    enough = evidence >= EVIDENCE if share < 1 else torch.ones_like(best, dtype=torch.bool)
    return (best > -torch.inf) & (screened.rest <= best) & enough


def percent(chosen: pd.Series, among: pd.Series) -> float:
    """Percentage of rows, of those among which it is asked for; NaN where there are none."""
    return float(100 * chosen[among].mean()) if among.any() else float(np.nan)
