"""Tables, scalars and figures of the analysis of entropy neurons (names: docs/entropy.md)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student
from torch import Tensor

from un_lightning.analyses.entropy.candidates import BASELINE, MEASURES, reason_names
from un_lightning.analyses.entropy.rows import Rows
from un_lightning.analyses.interventions import COLUMNS
from un_lightning.config import EntropyConfig
from un_lightning.figures import entropy as figures
from un_lightning.models.units import Units
from un_lightning.results.results import Results
from un_lightning.stats.grouped_sums import GroupedSums


EFFECTS = (
    "total_effect",
    "direct_effect",
    "norm_mediated",
    "loss_change",
    "entropy_change",
    "entropy_change_direct",
    "reciprocal_rank_change",
    "top_changed",
    "kl",
)
"""Columns of a neuron's mean ablation."""
FREQUENCY_EFFECTS = ("frequency_effect", "frequency_mediated", "kl_frequency_change")


def entropy_results(
    config: EntropyConfig, units: Units, rows: Rows, facts: Mapping[str, Tensor], sums: GroupedSums
) -> Results:
    """Everything that was found out about the chosen neurons.

    Args:
        config: What was asked.
        units: All neurons of the model.
        rows: Where each intervention's sums stand.
        facts: What was known before the pass: weights, choice, means.
        sums: `COLUMNS` of every row, by group of blocks.
    """
    facts = {name: value.cpu() for name, value in facts.items()}
    neurons = neuron_table(units, facts)
    effects = pd.concat([neurons, effect_columns(rows, len(neurons), sums)], axis=1)
    curves = curve_table(config, rows, neurons, sums)
    untouched = untouched_table(config, sums)
    candidates = weight_table(config, units, facts)
    results = Results(
        tables={"effects": effects, "curves": curves, "untouched": untouched, "candidates": candidates}
    )
    nominal = dict(zip(untouched["metric"], untouched["mean"], strict=True))
    results.figures = {
        "entropy_neurons": figures.entropy_neurons(
            facts["weights/l2_penalty"].numpy(),
            effects,
            facts["histograms"].numpy(),
            curves,
            nominal,
            config.confidence,
        ),
        "effects": figures.total_and_direct(effects),
    }
    chosen = effects[~effects["baseline"]]
    ordinary = effects[effects["baseline"]]
    results.scalars = {f"untouched/{name}": value for name, value in nominal.items()}
    for name, part in (("candidates", chosen), ("baseline", ordinary)):
        results.scalars |= {
            f"{name}/count": len(part),
            f"{name}/norm_mediated": _median(part["norm_mediated"]),
            f"{name}/total_effect": _median(part["total_effect"]),
        }
    moved = curves[~curves["baseline"]].groupby("metric")["change"].mean()
    results.scalars |= {f"change/{name}": float(change) for name, change in moved.items()}
    results.scalars |= {
        "model": units.model,
        "predictions": int(sums.tensors["tokens"].sum()),
        "groups": int((sums.tensors["tokens"] > 0).sum()),
        "confidence": config.confidence,
        "values": list(config.values),
        "neurons": list(chosen["name"]),
    }
    results.headline = _headline(config, results, effects, curves)
    return results


def neuron_table(units: Units, facts: Mapping[str, Tensor]) -> pd.DataFrame:
    """The chosen neurons and what their weights say."""
    flat = facts["flat"].numpy()
    layer, neuron = units.locate(flat)
    reasons = facts["reasons"].tolist()
    table = pd.DataFrame({"model": units.model, "layer": layer, "neuron": neuron})
    table["name"] = [units.label(int(index)) for index in flat]
    table["chosen_by"] = [reason_names(reason) for reason in reasons]
    table["baseline"] = [reason == BASELINE for reason in reasons]
    for name in MEASURES:
        table[name] = facts[f"weights/{name}"].numpy()[flat]
    table["mean_activation"] = facts["means"].numpy()
    return table


def weight_table(config: EntropyConfig, units: Units, facts: Mapping[str, Tensor]) -> pd.DataFrame:
    """What weights say about every neuron of the layers from which candidates come."""
    first = units.offsets[max(0, len(units.widths) - config.layers)]
    flat = np.arange(first, units.count)
    layer, neuron = units.locate(flat)
    table = pd.DataFrame({"model": units.model, "layer": layer, "neuron": neuron})
    for name in MEASURES:
        table[name] = facts[f"weights/{name}"].numpy()[flat]
    reasons = dict(zip(facts["flat"].tolist(), facts["reasons"].tolist(), strict=True))
    table["chosen_by"] = [reason_names(reasons.get(int(index), 0)) for index in flat]
    return table


def effect_columns(rows: Rows, count: int, sums: GroupedSums) -> pd.DataFrame:
    """What mean ablation of each neuron does, with standard errors."""
    at = lambda place: [place(index) for index in range(count)]
    total, direct = at(rows.total), at(rows.direct)
    column = {name: index for index, name in enumerate(COLUMNS)}

    def quantities(means: Tensor) -> Tensor:
        of = lambda name, row: means[..., column[name], :][..., row]
        change = lambda name, row: of(name, row) - of(name, [0])
        whole, alone = of("loss_change", total), of("loss_change", direct)
        found = [
            whole,
            alone,
            1 - alone / whole,
            change("loss", total),
            change("entropy", total),
            change("entropy", direct),
            change("reciprocal_rank", total),
            of("top_changed", total),
            of("kl", total),
        ]
        if rows.frequency:
            without = of("loss_change", at(rows.restored))
            found += [without, 1 - without / whole, change("kl_frequency", total)]
        return torch.stack(found, dim=-2)

    estimate = sums.estimate(quantities)
    names = EFFECTS + (FREQUENCY_EFFECTS if rows.frequency else ())
    columns: dict[str, np.ndarray] = {}
    for name, value, error in zip(names, estimate.value.cpu(), estimate.error.cpu(), strict=True):
        columns |= {name: value.numpy(), f"{name}_stderr": error.numpy()}
    return pd.DataFrame(columns)


def curve_table(config: EntropyConfig, rows: Rows, neurons: pd.DataFrame, sums: GroupedSums) -> pd.DataFrame:
    """Every metric of every neuron at every value, and its paired difference to the untouched run."""
    level = sums.estimate(lambda means: means)
    change = sums.estimate(lambda means: means - means[..., :1])
    reach = student.ppf(0.5 + config.confidence / 2, change.degrees)
    parts = []
    for index, neuron in enumerate(neurons.to_dict("records")):
        own = [rows.fixed(index, place) for place in range(rows.values)]
        for metric, name in enumerate(COLUMNS):
            if name == "kl_frequency" and not rows.frequency:
                continue
            moved, error = (part[metric, own].cpu().numpy() for part in change[:2])
            part = {
                "model": neuron["model"],
                "layer": neuron["layer"],
                "neuron": neuron["neuron"],
                "baseline": neuron["baseline"],
                "value": config.values,
                "metric": name,
                "mean": level.value[metric, own].cpu().numpy(),
                "stderr": level.error[metric, own].cpu().numpy(),
                "change": moved,
                "change_stderr": error,
                "change_low": moved - reach * error,
                "change_high": moved + reach * error,
            }
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def untouched_table(config: EntropyConfig, sums: GroupedSums) -> pd.DataFrame:
    """The untouched run, which every change is compared with."""
    level = sums.estimate(lambda means: means[..., 0])
    mean, error = level.value.cpu().numpy(), level.error.cpu().numpy()
    reach = student.ppf(0.5 + config.confidence / 2, level.degrees)
    table = pd.DataFrame({"metric": COLUMNS, "mean": mean, "stderr": error})
    table["low"], table["high"] = mean - reach * error, mean + reach * error
    shown = ["loss", "entropy", "rank", "reciprocal_rank", "scale"]
    shown += ["kl_frequency"] if config.frequency else []
    return table[table["metric"].isin(shown)].reset_index(drop=True)


def _headline(
    config: EntropyConfig, results: Results, effects: pd.DataFrame, curves: pd.DataFrame
) -> list[tuple[str, str]]:
    scalars = results.scalars
    lines = [
        (
            f"Untouched '{scalars['model']}': loss, entropy",
            f"{scalars['untouched/loss']:.3f}, {scalars['untouched/entropy']:.3f} nats",
        )
    ]
    last = curves[(curves["value"] == max(config.values)) & (curves["metric"] == "entropy")]
    chosen = effects[~effects["baseline"]].sort_values("norm_mediated", ascending=False)
    for neuron in chosen.head(3).to_dict("records"):
        own = last[(last["layer"] == neuron["layer"]) & (last["neuron"] == neuron["neuron"])]
        (moved,) = own.to_dict("records")
        lines.append(
            (
                f"{neuron['name']} ({neuron['chosen_by']}): through the norm; entropy at {moved['value']:g}",
                f"{100 * neuron['norm_mediated']:.0f} %, {moved['change']:+.3f} "
                f"[{moved['change_low']:+.3f}, {moved['change_high']:+.3f}]",
            )
        )
    ordinary = effects.loc[effects["baseline"], "norm_mediated"]
    if len(ordinary):
        lines.append(
            (
                f"{len(ordinary)} random neurons: through the norm (median)",
                f"{100 * _median(ordinary):.0f} %",
            )
        )
    return lines


def _median(values: pd.Series) -> float:
    present = values.dropna()
    return float(present.median()) if len(present) else float("nan")
