"""Tables, scalars and figures of the ablation of sets (names: docs/ablation.md)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student
from torch import Tensor

from un_lightning.analyses.ablation.sets import NeuronSet
from un_lightning.analyses.interventions import COLUMNS
from un_lightning.config import AblationConfig
from un_lightning.figures import ablation as figures
from un_lightning.models.units import Units
from un_lightning.results.results import Results
from un_lightning.stats.grouped_sums import GroupedSums


METRICS = tuple(name for name in COLUMNS if name != "kl_frequency")


def ablation_results(
    config: AblationConfig, units: Units, sets: Sequence[NeuronSet], sums: GroupedSums
) -> Results:
    """Everything that was found out about the sets.

    Args:
        config: What was asked.
        units: All neurons of the model.
        sets: Sets and random sets, in the order of the rows.
        sums: `COLUMNS` of the untouched run and of every set at every value, by group of blocks.
    """
    effects = effect_table(config, units, sets, sums)
    contrasts = contrast_table(config, units, sets, sums)
    untouched = sums.estimate(lambda means: means[..., 0])
    nominal = dict(zip(COLUMNS, untouched.value.tolist(), strict=True))
    results = Results(
        tables={"effects": effects, "contrasts": contrasts, "sets": set_table(units, sets)},
        figures={"effects": figures.set_effects(effects, config.threshold, config.confidence)},
    )
    results.scalars = {f"untouched/{name}": nominal[name] for name in ("loss", "entropy", "reciprocal_rank")}
    for row in effects[(effects["draw"] == 0) & effects["metric"].isin(["loss", "kl", "entropy"])].to_dict(
        "records"
    ):
        at = "" if np.isnan(row["value"]) else f"/{row['value']:g}"
        results.scalars[f"{row['metric']}/{row['set']}{at}"] = float(row["change"])
    for metric in ("loss", "kl", "entropy"):
        difference = contrasts.loc[contrasts["metric"] == metric, "difference"]
        results.scalars[f"{metric}/difference"] = (
            float(difference.mean()) if len(difference) else float("nan")
        )
    results.scalars |= {
        "model": units.model,
        "edit": str(config.edit),
        "values": list(config.values),
        "sets": list(dict.fromkeys(one.name for one in sets)),
        "draws": config.draws,
        "predictions": int(sums.tensors["tokens"].sum()),
        "groups": int((sums.tensors["tokens"] > 0).sum()),
        "confidence": config.confidence,
    }
    results.headline = _headline(results, effects, contrasts)
    return results


def effect_table(
    config: AblationConfig, units: Units, sets: Sequence[NeuronSet], sums: GroupedSums
) -> pd.DataFrame:
    """What each set, and each random one, changes against the untouched run."""
    values = config.values or [float("nan")]
    level = sums.estimate(lambda means: means)
    change = sums.estimate(lambda means: means - means[..., :1])
    reach = student.ppf(0.5 + config.confidence / 2, change.degrees)
    rows = []
    for index, one in enumerate(sets):
        for place, value in enumerate(values):
            row = 1 + index * len(values) + place
            for metric in METRICS:
                at = COLUMNS.index(metric), row
                moved, error = float(change.value[at]), float(change.error[at])
                rows.append(
                    {
                        "model": units.model,
                        "set": one.name,
                        "draw": one.draw,
                        "neurons": len(one.flat),
                        "value": value,
                        "metric": metric,
                        "mean": float(level.value[at]),
                        "change": moved,
                        "change_stderr": error,
                        "change_low": moved - reach * error,
                        "change_high": moved + reach * error,
                    }
                )
    return pd.DataFrame(rows)


def contrast_table(
    config: AblationConfig, units: Units, sets: Sequence[NeuronSet], sums: GroupedSums
) -> pd.DataFrame:
    """What each set changes more than the mean of its random sets; no rows without random sets.

    The error has two parts: that over text is a paired jackknife, that over draws the standard error of the
    mean of the random sets' own changes (NaN for a single draw, which tells nothing about it).
    """
    values = config.values or [float("nan")]
    columns = [
        "model", "set", "neurons", "draws", "value", "metric", "change", "random", "difference",
        "text_stderr", "draws_stderr", "difference_low", "difference_high",
    ]  # fmt: skip
    rows = []
    for name in dict.fromkeys(one.name for one in sets):
        places = {one.draw: index for index, one in enumerate(sets) if one.name == name}
        if len(places) < 2:
            continue
        for place, value in enumerate(values):
            row = lambda draw, place=place, places=places: 1 + places[draw] * len(values) + place
            drawn = [row(draw) for draw in places if draw > 0]
            own = row(0)

            def against(means: Tensor, own: int = own, drawn: list[int] = drawn) -> Tensor:
                return torch.stack(
                    [means[..., own] - means[..., 0], means[..., own] - means[..., drawn].mean(-1)], dim=-1
                )

            estimate = sums.estimate(against)
            level = sums.estimate(lambda means: means).value
            reach = student.ppf(0.5 + config.confidence / 2, estimate.degrees)
            for metric in METRICS:
                at = COLUMNS.index(metric)
                changes = (level[at, drawn] - level[at, 0]).cpu().numpy()
                over_draws = (
                    float(changes.std(ddof=1) / len(drawn) ** 0.5) if len(drawn) > 1 else float("nan")
                )
                own_change, difference = estimate.value[at].tolist()
                error = float(estimate.error[at, 1])
                spread = reach * float(np.hypot(error, np.nan_to_num(over_draws)))
                rows.append(
                    [
                        units.model, name, len(sets[places[0]].flat), len(drawn), value, metric, own_change,
                        float(changes.mean()), difference, error, over_draws, difference - spread,
                        difference + spread,
                    ]
                )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def set_table(units: Units, sets: Sequence[NeuronSet]) -> pd.DataFrame:
    """One row a set and neuron in it."""
    parts = []
    for one in sets:
        layer, neuron = units.locate(one.flat)
        own = {"set": one.name, "draw": one.draw, "model": units.model, "layer": layer, "neuron": neuron}
        parts.append(pd.DataFrame(own))
    return pd.concat(parts, ignore_index=True)


def _headline(results: Results, effects: pd.DataFrame, contrasts: pd.DataFrame) -> list[tuple[str, str]]:
    scalars = results.scalars
    lines = [
        (
            f"Untouched '{scalars['model']}': loss, entropy",
            f"{scalars['untouched/loss']:.3f}, {scalars['untouched/entropy']:.3f} nats",
        )
    ]
    own = effects[(effects["draw"] == 0) & (effects["metric"] == "loss")]
    for row in own.head(6).to_dict("records"):
        at = "" if np.isnan(row["value"]) else f" at {row['value']:g}"
        against = contrasts[(contrasts["set"] == row["set"]) & (contrasts["metric"] == "loss")]
        against = against[
            against["value"].isna() if np.isnan(row["value"]) else against["value"] == row["value"]
        ]
        text = f"{row['change']:+.4f}"
        for other in against.to_dict("records"):
            text += (
                f", random {other['random']:+.4f}; difference {other['difference']:+.4f} "
                f"[{other['difference_low']:+.4f}, {other['difference_high']:+.4f}]"
            )
        lines.append((f"Loss without {row['set']} ({row['neurons']:,} neurons, {scalars['edit']}{at})", text))
    return lines
