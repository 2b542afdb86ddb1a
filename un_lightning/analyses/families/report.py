"""What the families analysis found: tables, figures, scalars and the lines that end a run."""

from collections.abc import Mapping

import pandas as pd

from un_lightning.analyses.families.assignment import FAMILIES, NAMES, OTHER, UNEXPLAINED
from un_lightning.analyses.families.counts import ALL, count_table
from un_lightning.analyses.families.findings import FamilyFindings
from un_lightning.analyses.families.follow import FamilyFollow
from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.model import FamilyModel
from un_lightning.analyses.families.shown import (
    best_histograms,
    distribution_table,
    example_table,
    main_role,
    profile_table,
    role_table,
    top_neurons,
)
from un_lightning.analyses.families.tables import best_table, duplicate_table, label_tables, neuron_table
from un_lightning.config import FamiliesConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.figures import families as figures
from un_lightning.figures.alphabet import alphabet
from un_lightning.results.results import Results


def family_results(
    config: FamiliesConfig,
    labels: LabelSet,
    models: Mapping[str, FamilyModel],
    findings: Mapping[str, FamilyFindings],
    follows: Mapping[str, FamilyFollow],
    universal: Mapping[str, pd.DataFrame],
    data: TokenBlocks,
) -> Results:
    """Everything that is known about the neurons once the text has been read.

    Args:
        config: Settings of the analysis.
        labels: All labels.
        models: The models that were read.
        findings: The merged first reading of each.
        follows: The merged second reading of each; none if there was no such reading.
        universal: Tables that say which neurons are universal, of those models that have one.
        data: The text.
    """
    results = Results(scalars={"model": ", ".join(models)})
    parts: dict[str, list[pd.DataFrame]] = {}
    for name, model in models.items():
        tables = _tables(config, labels, model, findings[name], follows.get(name), universal.get(name), data)
        _draw(config, results, tables, f"-{name}" if len(models) > 1 else "")
        if "distributions" in tables:
            tables["histograms"] = best_histograms(tables["neurons"], tables.pop("distributions"))
        for key, table in tables.items():
            parts.setdefault(key, []).append(table)
    results.tables = {key: pd.concat(tables, ignore_index=True) for key, tables in parts.items()}
    _summarise(config, results, labels)
    results.scalars["counted_tokens"] = next(iter(findings.values())).count
    return results


def _tables(
    config: FamiliesConfig,
    labels: LabelSet,
    model: FamilyModel,
    findings: FamilyFindings,
    follow: FamilyFollow | None,
    universal: pd.DataFrame | None,
    data: TokenBlocks,
) -> dict[str, pd.DataFrame]:
    best = findings.best(labels, model.pilot["post"], config.min_count)
    measures = best_table(config, model, labels, findings, follow, best)
    neurons = neuron_table(config, model, labels, findings, best, measures, universal)
    tables = {"neurons": neurons, "best_labels": measures}
    tables["labels"], tables["label_neurons"] = label_tables(config, model, labels, findings, neurons)
    chosen = top_neurons(neurons, config.shown)
    tables["counts"] = count_table(neurons)
    tables["duplicates"] = duplicate_table(neurons, config.duplicates)
    tables["examples"] = example_table(config, findings, chosen, data)
    tables["positions"] = profile_table(
        findings, neurons.sort_values("eta2_position", ascending=False, kind="stable").head(config.shown)
    )
    if follow is not None:
        tables["distributions"] = distribution_table(labels, follow, findings)
        tables["roles"] = role_table(model, labels, follow, findings)
        role = main_role(tables["roles"], config.min_count // 4)
        tables["neurons"] = neurons.merge(role, how="left", on=["layer", "neuron"])
    return tables


def _draw(config: FamiliesConfig, results: Results, tables: dict[str, pd.DataFrame], suffix: str) -> None:
    neurons = tables["neurons"]
    results.figures[f"families_by_layer{suffix}"] = figures.families_by_layer(tables["counts"])
    results.figures[f"position_profiles{suffix}"] = figures.position_profiles(tables["positions"])
    if (tables["counts"]["group"] == "universal").any():
        results.figures[f"families_by_universality{suffix}"] = figures.families_by_universality(
            tables["counts"]
        )
    if "distributions" in tables:
        chosen = top_neurons(neurons, config.shown)
        results.figures[f"top_neurons{suffix}"] = figures.top_neurons(chosen, tables["distributions"])
        results.figures[f"alphabet{suffix}"] = alphabet(
            neurons, tables["label_neurons"], tables["distributions"], config.criteria.alphabet
        )
        results.figures[f"word_roles{suffix}"] = figures.word_roles(neurons, tables["roles"])


def _summarise(config: FamiliesConfig, results: Results, labels: LabelSet) -> None:
    neurons, scalars = results.tables["neurons"], results.scalars
    valid = neurons[neurons["valid"]]
    scalars |= {
        "neurons/count": len(neurons),
        "neurons/invalid": int((~neurons["valid"]).sum()),
        "labels/count": labels.count,
        "labels/compared": int(results.tables["labels"].groupby("label")["compared"].any().sum()),
        "vr/median": float(valid["vr"].median()),
        "vr/max": float(valid["vr"].max()),
        "duplicates/labels": len(results.tables["duplicates"]),
        "duplicates/neurons": int(results.tables["duplicates"]["count"].sum()),
    }
    if config.leading:
        scalars["significant/count"] = int(valid["significant"].sum())
    whole = results.tables["counts"].query(f"layer == {ALL} and group == 'all'")
    for family in NAMES:
        own = whole[whole["family"] == family]
        scalars[f"families/{family}"] = int(own["count"].sum())
        scalars[f"families/{family}/percent"] = 100 * float(own["count"].sum() / max(1, own["total"].sum()))
    lines = [
        (
            f"Neurons of {scalars['model']}",
            f"{len(valid):,} compared with {scalars['labels/compared']:,} labels",
        )
    ]
    for family in FAMILIES:
        own = valid[valid["family"] == family]
        if len(own) == 0:
            continue
        by = "eta2_position" if family == "position" else "vr"
        top = own.sort_values(by, ascending=False, kind="stable").iloc[0]
        what = f"η² by position {top[by]:.2f}" if family == "position" else f"{top['label']} {top['vr']:.2f}"
        share = f"{len(own):,} ({100 * len(own) / len(valid):.1f} %)"
        lines.append((family.capitalize(), f"{share}; best L{top['layer']}.{top['neuron']}: {what}"))
    for family, text in ((OTHER, "Explained, but below every criterion"), (UNEXPLAINED, "Unexplained")):
        count = int((valid["family"] == family).sum())
        lines.append((text, f"{count:,} ({100 * count / max(1, len(valid)):.1f} %)"))
    results.headline = lines
