"""The neurons that stand for their families, with what they do: contexts, distributions, roles, positions."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from un_lightning.analyses.activations.examples import contexts
from un_lightning.analyses.families.assignment import FAMILIES
from un_lightning.analyses.families.findings import FamilyFindings
from un_lightning.analyses.families.follow import FamilyFollow
from un_lightning.analyses.families.label_set import LabelSet
from un_lightning.analyses.families.measures import separation
from un_lightning.analyses.families.model import FamilyModel
from un_lightning.analyses.families.word_role import ROLES
from un_lightning.config import FamiliesConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.stats.followed_labels import NONE
from un_lightning.stats.top_examples import NEVER


def top_neurons(neurons: pd.DataFrame, count: int) -> pd.DataFrame:
    """The neurons of each family that fit it best, row indices kept; those of position by their η²."""
    parts = []
    for family in FAMILIES:
        own = neurons[neurons["family"] == family]
        by = "eta2_position" if family == "position" else "vr"
        parts.append(own.sort_values(by, ascending=False, kind="stable").head(count))
    return pd.concat(parts)


def example_table(
    config: FamiliesConfig, findings: FamilyFindings, chosen: pd.DataFrame, data: TokenBlocks
) -> pd.DataFrame:
    """Where the chosen neurons are largest.

    Args:
        config: Settings of the analysis.
        findings: The first reading.
        chosen: Rows of the neuron table, whose index is the neuron's column.
        data: The text.

    Returns:
        One row an example: `family, label, rank, value`, and what stands around the token.
    """
    columns = torch.tensor(chosen.index.tolist(), dtype=torch.int64).to(findings.top.place.device)
    place, value = (part[columns].cpu().numpy() for part in (findings.top.place, findings.top.value))
    row, rank = np.nonzero(place != NEVER)
    table = chosen.iloc[row][["model", "family", "layer", "neuron", "label", "vr"]].reset_index(drop=True)
    table["rank"], table["value"] = rank + 1, value[row, rank]
    places, index = np.unique(place[row, rank], return_inverse=True)
    around = contexts(data, places, config.before, config.after)
    return pd.concat([table, around.iloc[index].reset_index(drop=True)], axis=1)


def distribution_table(labels: LabelSet, follow: FamilyFollow, findings: FamilyFindings) -> pd.DataFrame:
    """Histograms of every neuron's pre-activation with each of its leading labels and without it.

    Returns:
        One row a neuron and label: `column, label, low, high`, and the lists `having` and `lacking`: below
        the range, its bins, above it.
    """
    leading = findings.leading[:, : -len(ROLES)]
    column, slot = (leading != NONE).nonzero(as_tuple=True)
    having = follow.followed.tensors["having"][column, slot]
    table = pd.DataFrame({"column": _numpy(column)})
    table["label"] = np.array(labels.names, dtype=object)[_numpy(leading[column, slot])]
    table["low"], table["high"] = (
        _numpy(end[column]) for end in (follow.histogram.low, follow.histogram.high)
    )
    table["having"] = list(_numpy(having))
    table["lacking"] = list(_numpy(follow.histogram.counts()[column] - having))
    return table


def best_histograms(neurons: pd.DataFrame, distributions: pd.DataFrame) -> pd.DataFrame:
    """Histograms with each neuron's best label and without it.

    Args:
        neurons: The neuron table, whose index is the neuron's column.
        distributions: What `distribution_table` gives.

    Returns:
        One row a neuron whose best label was followed: `model, layer, neuron, label, low, high`, and the
        lists `having` and `lacking`.
    """
    best = neurons[["model", "layer", "neuron", "label"]].rename_axis("column").reset_index()
    return best.merge(distributions, on=["column", "label"]).drop(columns="column")


def role_table(
    model: FamilyModel, labels: LabelSet, follow: FamilyFollow, findings: FamilyFindings
) -> pd.DataFrame:
    """Unigram neurons by what part of a word their string is (the paper's Figure 15).

    Returns:
        One row a neuron and role, and one (`role` is `other token`) for all tokens that are another string:
        `label, count, mean` of the pre-activation by bins, `auroc` against all other tokens, `low, high,
        counts` of the histogram.
    """
    roles = findings.leading[:, -len(ROLES) :]
    units = (roles != NONE).any(1).nonzero().squeeze(1)
    slots = slice(roles.shape[1] * -1, None)
    having = follow.followed.tensors["having"][units][:, slots]
    overall = follow.histogram.counts()[units]
    found = separation(follow, slots, torch.zeros_like(roles, dtype=torch.bool))
    auroc = found.auroc.view(-1, len(ROLES))[units]
    parts = []
    for place, name in enumerate((*ROLES, "other token")):
        counts = having[:, place] if place < len(ROLES) else overall - having.sum(1)
        column = _numpy(units)
        table = pd.DataFrame(
            {"model": model.selection.model, "layer": model.selection.layer[column],
             "neuron": model.selection.neuron[column]}
        )  # fmt: skip
        table["label"] = np.array(labels.names, dtype=object)[_numpy(roles[units, 0] - labels.count)]
        table["role"], table["count"] = name, _numpy(counts.sum(1))
        table["mean"] = _numpy(_mean(counts, follow, units))
        table["auroc"] = _numpy(auroc[:, place]) if place < len(ROLES) else np.nan
        table["low"], table["high"] = (
            _numpy(end[units]) for end in (follow.histogram.low, follow.histogram.high)
        )
        table["counts"] = list(_numpy(counts))
        parts.append(table)
    return pd.concat(parts).sort_values(["layer", "neuron"], kind="stable", ignore_index=True)


def main_role(roles: pd.DataFrame, least: int) -> pd.DataFrame:
    """The role in which each unigram neuron fires, or `any`.

    A role is that of a neuron if the mean in it lies at least half as far above that of other tokens as the
    mean in the neuron's best role; `any` means that all roles that are common enough do.

    Args:
        roles: What `role_table` gives.
        least: Tokens that a role needs to be judged.
    """
    rows = []
    for (layer, neuron), own in roles.groupby(["layer", "neuron"], sort=False):
        means = own.set_index("role")["mean"]
        common = own[(own["count"] >= least) & (own["role"] != "other token")]
        rise = common.set_index("role")["mean"] - means["other token"]
        strong = [name for name in rise.index if rise[name] >= 0.5 * rise.max()]
        named = "any" if len(strong) == len(rise) > 1 else " ".join(map(str, strong))
        rows.append({"layer": layer, "neuron": neuron, "role": named})
    return pd.DataFrame(rows, columns=["layer", "neuron", "role"])


def profile_table(findings: FamilyFindings, chosen: pd.DataFrame) -> pd.DataFrame:
    """Mean pre-activation and firing rate by position of some neurons, NaN where no token counts."""
    columns = chosen.index.to_numpy(dtype=np.int64).tolist()
    keep = ["model", "layer", "neuron", "family", "eta2_position", "position_mi", "kurt"]
    table = chosen[keep].reset_index(drop=True)
    table["sd"] = chosen["within_position_sd"].to_numpy()
    for name, key in (("mean", "pre"), ("sparsity", "fired")):
        means = findings.positions.means(key)[:, columns]
        table[name] = list(_numpy(means.T).astype(np.float32))
    return table


def _mean(counts: Tensor, follow: FamilyFollow, units: Tensor) -> Tensor:
    """Mean of a histogram, what lies outside counted at its ends; NaN where it is empty."""
    low, width = follow.histogram.low.double()[units, None], follow.histogram.bin_width[units, None]
    steps = torch.arange(counts.shape[1], device=counts.device) - 0.5
    steps = steps.clamp(min=0, max=counts.shape[1] - 2)
    return (counts * (low + steps * width)).sum(1) / counts.sum(1)


def _numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
