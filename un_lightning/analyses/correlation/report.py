"""Tables, figures and scalars of the correlation analysis (names: docs/architecture.md)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from un_lightning.analyses.correlation.excess import compare, excess_bounds, neuron_table
from un_lightning.analyses.correlation.intervals import Intervals
from un_lightning.analyses.correlation.measure_report import FamilyMeasures
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import PairFindings, View
from un_lightning.analyses.correlation.summary import Found, correlation_headline, correlation_scalars
from un_lightning.config import CorrelationConfig
from un_lightning.errors import UserError
from un_lightning.figures import correlation as figures
from un_lightning.results.results import Results
from un_lightning.stats.pair_sums import ModelSums
from un_lightning.stats.support import UnitSupport


def correlation_results(
    config: CorrelationConfig,
    reference: str,
    members: dict[str, MemberSums],
    findings: Mapping[tuple[str, str], PairFindings],
    count: int,
    sums: Mapping[str, ModelSums],
    intervals: Intervals | None,
    support: Mapping[str, UnitSupport],
) -> Results:
    """Everything that is known about the family once the pass is over.

    Args:
        config: Threshold, baseline, top k and tile.
        reference: The member that scalars and figures are about.
        members: Moments and within-layer sums of each model.
        findings: What was kept of the products of each pair.
        count: Counted tokens.
        sums: What each model contributes to its pairs, for measures.
        intervals: Readings during the pass, for error columns, if there are any.
        support: Tokens and documents in which each model's units are active.

    Raises:
        UserError: A member has no unit that can be correlated.
    """
    refuse_broken(members)
    views: dict[str, dict[str, View]] = {name: {} for name in members}
    measures = FamilyMeasures(config)
    for (left, right), pair in findings.items():
        views[left][right], views[right][left] = pair.views(members[left], members[right])
        measures.add((left, right), pair, (sums[left], sums[right]), count)
    tables, compared = [], {}
    for name in members:
        compared[name] = compare(members[name], views[name])
        table = neuron_table(members[name], compared[name], config.threshold, support[name])
        if intervals is not None:
            best = {
                other: (view.summary.best_index[:, 0].clamp(min=0), view.summary.best[:, 0])
                for other, view in views[name].items()
            }
            table = table.join(intervals.columns(name, best, table, config.confidence))
            degrees = len(intervals.without[name].tokens) - 1
            table = table.join(excess_bounds(table, compared[name], degrees, config.confidence))
        tables.append(measures.join(table, members[name]))
    neurons = pd.concat(tables, ignore_index=True)
    matches = pd.concat([match_table(members, name, views[name]) for name in members], ignore_index=True)
    summaries = pd.concat([_summaries(members, name, views[name]) for name in members], ignore_index=True)
    layer_match = layer_match_table(matches, {name: len(m.units.widths) for name, m in members.items()})
    own = neurons[neurons["model"] == reference]
    own_match = layer_match[layer_match["model"] == reference]
    without = None if intervals is None else intervals.without[reference]
    found = Found(neurons, reference, compared[reference], count, without)
    results = Results(scalars=correlation_scalars(config, found))
    results.tables = {
        "neurons": neurons, "matches": matches, "summaries": summaries, "layer_match": layer_match,
    }  # fmt: skip
    results.figures = correlation_figures(own, own_match, config.threshold)
    measures.finish(results, members, reference)
    units = members[reference].units
    results.headline = correlation_headline(results.scalars, reference, units, config.baseline)
    return results


def refuse_broken(members: Mapping[str, MemberSums]) -> None:
    """Refuse a family of which a member has nothing to correlate: no mean over its members would exist.

    Raises:
        UserError: All units of a member are constant, or were ever NaN or infinite.
    """
    for name, member in members.items():
        if not bool(member.moments.valid.any()):
            raise UserError(
                f"no unit of '{name}' can be correlated: each is constant, or was NaN or infinite at some "
                "token of this text; leave the model out of models.members"
            )


def layer_match_table(matches: pd.DataFrame, layers: dict[str, int]) -> pd.DataFrame:
    """Share of each layer's valid units whose best partner lies in each layer, averaged over the others.

    Args:
        matches: Columns model, layer, other, rank, match_layer.
        layers: Number of layers of every model.

    Returns:
        Every pair of layers of each model: model, layer, match_layer, fraction; NaN for a layer without a
        valid unit.
    """
    tables = []
    for model, own in matches[matches["rank"] == 1].groupby("model"):
        shares = []
        depth = max(layers[other] for other in own["other"].unique())
        for _, one in own.groupby("other"):
            counts = np.zeros((layers[str(model)], depth))
            np.add.at(counts, (one["layer"].to_numpy(), one["match_layer"].to_numpy()), 1)
            with np.errstate(invalid="ignore"):
                shares.append(counts / counts.sum(1, keepdims=True))
        fraction = np.mean(shares, axis=0)
        layer, match_layer = np.indices(fraction.shape)
        columns = {"layer": layer.ravel(), "match_layer": match_layer.ravel(), "fraction": fraction.ravel()}
        tables.append(pd.DataFrame({"model": model} | columns))
    return pd.concat(tables, ignore_index=True)


def correlation_figures(own: pd.DataFrame, own_match: pd.DataFrame, threshold: float) -> dict[str, Figure]:
    """The figures about the reference, from its rows of the neuron table and of the layer matches."""
    return {
        "max_correlation_by_layer": figures.max_correlation_by_layer(own),
        "excess_distribution": figures.excess_distribution(own, threshold),
        "universal_by_layer": figures.universal_by_layer(own, threshold),
        "layer_match": figures.layer_match(own_match),
    }


def match_table(members: dict[str, MemberSums], name: str, views: dict[str, View]) -> pd.DataFrame:
    """The k best partners (ranks 1, 2, …) and the k worst (-1, -2, …) of each valid unit."""
    parts = []
    units = members[name].units
    layer, neuron = units.locate(np.arange(units.count))
    valid = members[name].moments.valid.cpu().numpy()
    for other, view in views.items():
        summary = view.summary
        sides = (
            (1, summary.best, summary.best_index),
            (-1, -summary.worst, summary.worst_index),
        )
        for sign, corr, index in sides:
            partner = index.cpu().numpy()
            keep = (partner >= 0) & valid[:, None]
            unit, rank = np.nonzero(keep)
            match_layer, match_neuron = members[other].units.locate(partner[keep])
            parts.append(
                pd.DataFrame(
                    {
                        "model": name,
                        "layer": layer[unit],
                        "neuron": neuron[unit],
                        "other": other,
                        "rank": sign * (rank + 1),
                        "match_layer": match_layer,
                        "match_neuron": match_neuron,
                        "corr": corr.cpu().numpy()[keep],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _summaries(members: dict[str, MemberSums], name: str, views: dict[str, View]) -> pd.DataFrame:
    """Moments and histogram of each unit's row of correlations with each other model."""
    parts = []
    units = members[name].units
    valid = members[name].moments.valid.cpu().numpy()
    layer, neuron = units.locate(np.arange(units.count))
    for other, view in views.items():
        columns = {"max": view.summary.best[:, 0], "min": -view.summary.worst[:, 0]}
        columns |= view.summary.moments(int(members[other].moments.valid.sum()))
        values = {key: value.double().cpu().numpy() for key, value in columns.items()}
        for value in values.values():
            value[~valid] = np.nan
        part = pd.DataFrame({"model": name, "layer": layer, "neuron": neuron, "other": other} | values)
        part["histogram"] = list(view.summary.histogram.to("cpu").int().numpy())
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
