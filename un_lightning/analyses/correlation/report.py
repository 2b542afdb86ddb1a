"""Tables, figures and scalars of the correlation analysis (names: docs/architecture.md)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from un_lightning.analyses.correlation.intervals import Intervals
from un_lightning.analyses.correlation.measure_report import FamilyMeasures
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import PairFindings, View
from un_lightning.config import Baseline, CorrelationConfig
from un_lightning.errors import UserError
from un_lightning.figures import correlation as figures
from un_lightning.models.units import Units
from un_lightning.results.results import Results
from un_lightning.stats.pair_sums import ModelSums


def correlation_results(
    config: CorrelationConfig,
    reference: str,
    members: dict[str, MemberSums],
    findings: Mapping[tuple[str, str], PairFindings],
    count: int,
    sums: Mapping[str, ModelSums],
    intervals: Intervals | None = None,
) -> Results:
    """Everything that is known about the family once the pass is over.

    Args:
        config: Threshold, baseline, top k and tile.
        reference: The member that scalars and figures are about.
        members: Moments and within-layer sums of each model.
        findings: What was kept of the products of each pair.
        count: Counted tokens.
        sums: What each model contributes to its pairs, for measures.
        intervals: Readings during the pass, for error columns.

    Raises:
        UserError: A member has no unit that can be correlated.
    """
    refuse_broken(members)
    views: dict[str, dict[str, View]] = {name: {} for name in members}
    measures = FamilyMeasures(config)
    for (left, right), found in findings.items():
        views[left][right], views[right][left] = found.views(members[left], members[right])
        measures.add((left, right), found, (sums[left], sums[right]), count)
    tables = []
    for name in members:
        table = neuron_table(members[name], views[name], config.threshold)
        if intervals is not None:
            best = {other: view.summary.best_index[:, 0] for other, view in views[name].items()}
            table = table.join(intervals.columns(name, best, table, config.confidence))
        tables.append(measures.join(table, members[name]))
    neurons = pd.concat(tables, ignore_index=True)
    matches = pd.concat([match_table(members, name, views[name]) for name in members], ignore_index=True)
    summaries = pd.concat([_summaries(members, name, views[name]) for name in members], ignore_index=True)
    layer_match = layer_match_table(matches, {name: len(m.units.widths) for name, m in members.items()})
    own = neurons[neurons["model"] == reference]
    own_match = layer_match[layer_match["model"] == reference]
    results = Results(scalars=correlation_scalars(config, own, neurons, len(views[reference]), count))
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


def neuron_table(member: MemberSums, views: dict[str, View], threshold: float) -> pd.DataFrame:
    """One row a unit: correlation, baseline and excess over the other models (paper eq. 3).

    `max_corr`, `mean_corr` and `min_corr` are over the other models, of the largest correlation with any
    of their units; the same for the baseline, averaged over draws. Invalid units have NaN.
    """
    valid = member.moments.valid.cpu().numpy()
    corr = np.stack([view.summary.best[:, 0].double().cpu().numpy() for view in views.values()])
    drawn = np.stack([view.baseline.double().cpu().numpy() for view in views.values()])
    corr[:, ~valid] = np.nan
    corr[~np.isfinite(corr)] = np.nan  # a model without a valid unit has no largest correlation
    drawn[:, :, ~valid] = np.nan
    baseline = drawn.mean(1)
    layer, neuron = member.units.locate(np.arange(member.units.count))
    table = pd.DataFrame({"model": member.units.model, "layer": layer, "neuron": neuron, "valid": valid})
    for name, values in (("corr", corr), ("baseline", baseline)):
        for what in ("max", "mean", "min"):
            table[f"{what}_{name}"] = getattr(values, what)(axis=0)
    table["baseline_stderr"] = _standard_error(drawn.mean(0))
    table["excess_corr"] = table["mean_corr"] - table["mean_baseline"]
    table["universal"] = table["excess_corr"] > threshold
    return table


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


def _standard_error(drawn: Float[np.ndarray, "draws units"]) -> Float[np.ndarray, " units"]:
    """Standard error of the mean over draws; NaN for a single draw."""
    if len(drawn) < 2:
        return np.full(drawn.shape[1], np.nan)
    return drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))


def correlation_scalars(
    config: CorrelationConfig, own: pd.DataFrame, neurons: pd.DataFrame, others: int, count: int
) -> dict[str, float | int | str | bool | list]:
    """Numbers of the summary, about the reference unless a name says otherwise.

    Args:
        config: The threshold.
        own: Rows of the reference.
        neurons: Rows of all models.
        others: Models that the reference is compared with.
        count: Counted tokens.
    """
    universal = int(own["universal"].sum())
    scalars: dict[str, float | int | str | bool | list] = {
        "universal/count": universal,
        "universal/percent": 100 * universal / len(own),
        "excess/mean": float(own["excess_corr"].mean()),
        "excess/max": float(own["excess_corr"].max()),
        "max_corr/mean": float(own["mean_corr"].mean()),
        "baseline/mean": float(own["mean_baseline"].mean()),
        "baseline/stderr": float(own["baseline_stderr"].mean()),
        "neurons/count": len(own),
        "neurons/invalid": int((~own["valid"]).sum()),
        "threshold": config.threshold,
        "others": others,
        "counted_tokens": count,
    }
    if "excess_low" in own:
        scalars["universal/low"] = int((own["excess_low"] > config.threshold).sum())
        scalars["universal/high"] = int(
            (own["universal"] & ~own["followed"] | (own["excess_high"] > config.threshold)).sum()
        )
        scalars["neurons/not_followed"] = int((own["valid"] & ~own["followed"]).sum())
        scalars["split_corr/mean"] = float(own["split_corr"].mean())
        scalars["confidence"] = config.confidence
    for name, table in neurons.groupby("model"):
        scalars[f"universal/percent/{name}"] = float(100 * table["universal"].mean())
    return scalars


def correlation_headline(
    scalars: dict, reference: str, units: Units, baseline: Baseline
) -> list[tuple[str, str]]:
    """The rows that end a run, from its scalars."""
    invalid = scalars["neurons/invalid"]
    return [
        (
            f"Universal units of '{reference}' (excess > {scalars['threshold']:g})",
            f"{scalars['universal/count']} of {units.count} ({scalars['universal/percent']:.2f} %)",
        ),
        (f"Max correlation, mean over {scalars['others']} other models", f"{scalars['max_corr/mean']:.3f}"),
        (
            f"Baseline: {baseline} (± standard error)",
            f"{scalars['baseline/mean']:.3f} ± {scalars['baseline/stderr']:.4f}",
        ),
        (
            "Excess correlation, mean and largest",
            f"{scalars['excess/mean']:.3f}, {scalars['excess/max']:.3f}",
        ),
        (
            "Tokens counted",
            f"{scalars['counted_tokens']:,}" + (f"; {invalid} invalid units" if invalid else ""),
        ),
    ]
