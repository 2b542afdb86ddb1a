"""Tables of the families analysis (columns: docs/families.md)."""

import numpy as np
import pandas as pd
import torch
from numpy import ndarray
from torch import Tensor

from un_lightning.analyses.families.assignment import (
    FAMILIES,
    WORDS,
    assign,
    best_by_family,
    best_rows,
    family_of_kind,
)
from un_lightning.analyses.families.findings import FamilyFindings
from un_lightning.analyses.families.follow import FamilyFollow
from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.measures import measured
from un_lightning.analyses.families.model import FamilyModel
from un_lightning.config import FamiliesConfig
from un_lightning.stats.best_labels import TIE, BestLabels, best_units
from un_lightning.stats.eta_squared import eta_squared, firing_information


MEASURED = ["auroc", "auroc_error", "f1", "f1_threshold", "vr_low", "vr_high", "p", "q"]
"""Columns that the second reading fills."""


def best_table(
    config: FamiliesConfig,
    model: FamilyModel,
    labels: LabelSet,
    findings: FamilyFindings,
    follow: FamilyFollow | None,
    best: BestLabels,
) -> pd.DataFrame:
    """The best label of each kind for each neuron: one row a pair that has one."""
    kinds, _ = labels.kind_index()
    corr, label = _numpy(best.corr.T), _numpy(best.label.T)
    column, kind = np.nonzero(label >= 0)
    chosen = label[column, kind]
    table = _units(model, column)
    table["kind"] = np.array(kinds, dtype=object)[kind]
    table["label"] = np.array(labels.names, dtype=object)[chosen]
    table["family"] = np.array([family_of_kind(name) for name in kinds], dtype=object)[kind]
    table["corr"] = corr[column, kind]
    table["vr"] = np.square(table["corr"])
    if follow is None:
        return table.assign(**dict.fromkeys(MEASURED, np.nan))
    valid = int(findings.post.shape(model.pilot["post"]).valid.sum())
    tests = max(1, valid * int(findings.common(config.min_count).sum()))
    more = measured(findings, follow, tests).drop(columns="slot")
    keys = pd.DataFrame({"column": column, "label": chosen})
    return pd.concat([table, keys.merge(more, how="left", on=["column", "label"])[MEASURED]], axis=1)


def neuron_table(
    config: FamiliesConfig,
    model: FamilyModel,
    labels: LabelSet,
    findings: FamilyFindings,
    best: BestLabels,
    measures: pd.DataFrame,
    universal: pd.DataFrame | None,
) -> pd.DataFrame:
    """One row a neuron: its family, and the label that speaks for it."""
    shape = findings.pre.shape(model.pilot["pre"])
    positions = findings.positions
    table = _units(model, np.arange(model.selection.count))
    table["valid"] = _numpy(shape.valid & findings.post.shape(model.pilot["post"]).valid)
    table["kurt"], table["sparsity"] = _numpy(shape.kurt), _numpy(shape.frequency)
    eta2 = eta_squared(positions.means("pre"), positions.count, shape.mean, shape.var)
    table["eta2_position"] = _numpy(eta2)
    table["within_position_sd"] = _numpy((shape.var * (1 - eta2)).clamp(min=0).sqrt())
    fired = positions.means("fired").masked_fill(shape.mean.isnan(), torch.nan)
    table["position_mi"] = _numpy(firing_information(fired, positions.count))
    table["eta2_token"] = _numpy(findings.tokens.tensors["eta2"])
    table["eta2_previous"] = _numpy(findings.tokens.tensors["eta2_previous"])
    kinds, _ = labels.kind_index()
    corr, label = best_by_family(_numpy(best.corr), _numpy(best.label), kinds)
    reduction = np.square(corr)
    names = np.array([*labels.names, ""], dtype=object)  # the last one, which -1 reaches, is no label
    letter, unigram = FAMILIES.index("alphabet"), FAMILIES.index("unigram")
    confounded = np.isin(names[label[letter]], WORDS)
    confounded &= reduction[unigram] >= reduction[letter] - TIE
    table["family"] = assign(config.criteria, reduction, confounded, table)
    best_row = best_rows(reduction, confounded)
    every = np.arange(len(table))
    table["label"] = names[label[best_row, every]]
    table["vr"], table["corr"] = reduction[best_row, every], corr[best_row, every]
    for row, family in enumerate(FAMILIES):
        table[f"{family}_label"], table[f"{family}_vr"] = names[label[row]], reduction[row]
    table.loc[~table["valid"], ["vr", "corr", *(f"{family}_vr" for family in FAMILIES)]] = np.nan
    keys = ["layer", "neuron", "label"]
    more = table[keys].merge(measures[[*keys, *MEASURED]], how="left", on=keys)
    for place, name in enumerate(MEASURED):
        table.insert([*table].index("corr") + 1 + place, name, more[name].to_numpy())
    table["significant"] = table["q"] < config.alpha
    if universal is not None:
        keys = ["layer", "neuron"]
        group = table[keys].merge(universal[[*keys, "group"]], how="left", on=keys)["group"].fillna(-1)
        table["universal"] = group.map({1: True, 0: False, -1: None}).astype("boolean").to_numpy()
    return table


def label_tables(
    config: FamiliesConfig,
    model: FamilyModel,
    labels: LabelSet,
    findings: FamilyFindings,
    neurons: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every label, and the neurons that fit it best.

    Returns:
        One row a label, with how many neurons of a family it speaks for; and one row a label and rank.
    """
    shift = model.pilot["post"]
    k = min(config.neurons_per_label, model.selection.count)
    values = torch.zeros(labels.count, 0, dtype=torch.float64, device=shift.device)
    columns = torch.zeros(labels.count, 0, dtype=torch.int64, device=shift.device)
    for own in model.selection.columns.values():
        corr = findings.correlations(shift, config.min_count, own)
        here = torch.arange(own.start, own.stop, device=shift.device).expand_as(corr)
        values, columns = torch.cat([values, corr], 1), torch.cat([columns, here], 1)
        values, order = best_units(values, k)
        columns = columns.gather(1, order)
    counts = _numpy(findings.labels.count)
    table = pd.DataFrame({"model": model.selection.model, "label": labels.names, "kind": labels.kinds})
    table["family"] = [family_of_kind(kind) for kind in labels.kinds]
    table["tokens"], table["share"] = counts, counts / findings.count
    table["compared"] = _numpy(findings.common(config.min_count))
    members = neurons[neurons["family"] == neurons["label"].map(_families(labels))]
    table["neurons"] = table["label"].map(members["label"].value_counts()).fillna(0).astype(int)
    corr, column = _numpy(values), _numpy(columns)
    table["best_vr"] = np.square(corr[:, 0])
    row, rank = np.nonzero(np.isfinite(corr))
    ranked = _units(model, column[row, rank])
    ranked.insert(1, "label", table["label"].to_numpy()[row])
    ranked.insert(2, "rank", rank + 1)
    ranked["corr"] = corr[row, rank]
    ranked["vr"] = np.square(ranked["corr"])
    return table, ranked


def duplicate_table(neurons: pd.DataFrame, least: int) -> pd.DataFrame:
    """Labels for which several neurons of a family stand, such as a unigram's."""
    members = neurons[neurons["family"].isin(FAMILIES)]
    rows = []
    for (model, family, label), own in members.groupby(["model", "family", "label"], sort=False):
        if len(own) < least:
            continue
        ordered = own.sort_values("vr", ascending=False, kind="stable")
        names = [f"L{row.layer}.{row.neuron}" for row in ordered.itertuples()]
        rows.append(
            {"model": model, "family": family, "label": label, "count": len(own),
             "vr_max": ordered["vr"].max(), "vr_min": ordered["vr"].min(), "neurons": " ".join(names)}
        )  # fmt: skip
    columns = ["model", "family", "label", "count", "vr_max", "vr_min", "neurons"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["model", "count", "vr_max"], ascending=[True, False, False], ignore_index=True)


def _families(labels: LabelSet) -> dict[str, str]:
    return {name: family_of_kind(kind) for name, kind in zip(labels.names, labels.kinds, strict=True)}


def _units(model: FamilyModel, columns: ndarray) -> pd.DataFrame:
    selection = model.selection
    return pd.DataFrame(
        {"model": selection.model, "layer": selection.layer[columns], "neuron": selection.neuron[columns]}
    )


def _numpy(values: Tensor) -> ndarray:
    return values.cpu().numpy()
