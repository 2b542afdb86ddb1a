"""What the published tables say in numbers: everything of the paper that needs no model (method D, E, I)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class PublishedModel(NamedTuple):
    """A model of the paper whose universal neurons are published."""

    folder: str
    layers: int
    width: int
    """Neurons of a layer."""


MODELS = {
    "small": PublishedModel("stanford-gpt2-small-a", 12, 3072),
    "medium": PublishedModel("stanford-gpt2-medium-a", 24, 4096),
    "pythia": PublishedModel("pythia-160m", 12, 3072),
}
MISSING_IN_A_NOTEBOOK = [(18, 1060), (22, 339)]
"""Universal neurons of medium that the notebook of the printed mean range had lost."""
POSITION_FIG19 = [
    (0, 2241), (0, 233), (0, 2542), (0, 1064), (2, 2989), (1, 2813), (2, 2618),
    (1, 322), (2, 1172), (1, 290), (1, 2076), (1, 1190), (2, 1699), (2, 1158),
    (1, 2593), (1, 1205), (1, 1369), (1, 2613), (1, 590), (1, 2883),
]  # fmt: skip
"""Layer and neuron of the position neurons of small that Figure 19 of the paper shows."""

Quantities = dict[str, Any]
"""Numbers, truths and lists by name."""


def universal_quantities(table: pd.DataFrame, model: PublishedModel) -> Quantities:
    """Counts, identities, distributions and medians of a table of universal neurons."""
    total = model.layers * model.width
    found: Quantities = {
        "n_universal": len(table),
        "n_neurons_total": total,
        "pct_universal": 100 * len(table) / total,
        "unique_keys": len(table[["layer", "neuron"]].drop_duplicates()),
        "count_by_layer": by_layer(table["layer"], model.layers),
        "excess_identity_max_abs_err": _largest(
            table["excess_corr"] - (table["mean_corr"] - table["mean_baseline"])
        ),
        "l2_identity_max_abs_err": _largest(
            table["l2_penalty"] - (table["w_in_norm"] ** 2 + table["w_out_norm"] ** 2)
        ),
        "order_corr": _ordered(table, "corr") and _ordered(table, "baseline"),
        "excess_min": float(table["excess_corr"].min()),
        "excess_max": float(table["excess_corr"].max()),
        "mean_range": float((table["max_corr"] - table["min_corr"]).mean()),
        "n_excess_gt_0.6_0.7_0.8": [int((table["excess_corr"] > limit).sum()) for limit in (0.6, 0.7, 0.8)],
        "n_worst_case_universal": int((table["min_corr"] - table["max_baseline"] > 0.5).sum()),
        "top5_excess": table.nlargest(5, "excess_corr")[["layer", "neuron", "excess_corr"]]
        .to_numpy()
        .tolist(),
        "frac_skew_pos": float((table["skew"] > 0).mean()),
        "frac_kurt_gt3": float((table["kurt"] > 3).mean()),
        "frac_bias_neg": float((table["input_bias"] < 0).mean()),
        "n_sparse_lt_0.02": int((table["sparsity"] < 0.02).sum()),
        "corr_sparsity_cos": float(table["sparsity"].corr(table["in_out_sim"])),
        "n_partition_var_gt_0.005": int((table["vocab_var"] > 0.005).sum()),
        "n_sub_gaussian": int((table["kurt"] < 2).sum()),
        "sub_gaussian_ids": _keys(table[table["kurt"] < 2]),
    }
    found |= _prediction_quantities(table, model.layers)
    for column in table.columns.drop(["layer", "neuron"]):
        found[f"describe.{column}"] = describe(table[column])
        medians = table.groupby("layer")[column].median().reindex(range(model.layers))
        found[f"median_by_layer.{column}"] = medians.tolist()
    return found


def membership_quantities(table: pd.DataFrame, families: Mapping[str, Any]) -> Quantities:
    """How many neurons of each family of the paper are universal: [found, listed]."""
    keys = {*map(tuple, _keys(table))}
    found: Quantities = {}
    for family, listed in families.items():
        pairs = [pair for group in listed.values() for pair in group] if isinstance(listed, dict) else listed
        found[f"membership.{family}"] = [sum(tuple(pair) in keys for pair in pairs), len(pairs)]
    return found


def lost_rows_quantities(table: pd.DataFrame) -> Quantities:
    """The mean range as a notebook of the paper prints it, without two rows that it had lost."""
    kept = [key not in MISSING_IN_A_NOTEBOOK for key in zip(table["layer"], table["neuron"], strict=True)]
    return {"mean_range_without_two": float((table["max_corr"] - table["min_corr"])[kept].mean())}


def older_run_quantities(
    high: pd.DataFrame, sub: pd.DataFrame, universal: pd.DataFrame, layers: int
) -> tuple[Quantities, Quantities]:
    """Two tables of an older run of small: neurons of high excess, and of sub-Gaussian activations."""
    keys = {*map(tuple, _keys(universal))}
    inside = lambda table: sum(tuple(key) in keys for key in _keys(table))
    both = high.merge(universal, on=["layer", "neuron"], suffixes=("", "_universal"))
    return (
        {
            "n_rows": len(high),
            "by_layer": by_layer(high["layer"], layers),
            "n_in_universal": inside(high),
            # Its excess is the worst case: the smallest correlation less the largest baseline.
            "max_abs_diff_max_corr_vs_universal": _largest(both["max_corr"] - both["max_corr_universal"]),
            "excess_rule_max_abs_err": _largest(
                high["excess_corr"] - (high["min_corr"] - high["max_baseline"])
            ),
        },
        {
            "n_rows": len(sub),
            "by_layer": by_layer(sub["layer"], layers),
            "max_kurt": float(sub["kurt"].max()),
            "n_universal": int((sub["mean_corr"] - sub["mean_baseline"] > 0.5).sum()),
            "n_in_universal_csv": inside(sub),
        },
    )


def position_quantities(sub: pd.DataFrame) -> Quantities:
    """How many of Figure 19's position neurons have sub-Gaussian activations: [found, listed]."""
    return membership_quantities(sub, {"position_fig19_subgaussian": POSITION_FIG19})


def feature_quantities(features: pd.DataFrame, universal: pd.DataFrame) -> Quantities:
    """The table of prediction neurons and their features, and what the universal neurons say of them."""
    joined = features.merge(universal, on=["layer", "neuron"])
    distinct = features[["layer", "neuron"]].drop_duplicates()
    counts = features["feature"].value_counts()
    suppresses = joined["is_surpress"].astype(bool)  # the table's own spelling
    return {
        "n_rows": len(features),
        "n_suppress": int(features["is_surpress"].sum()),
        "by_feature": {str(feature): int(count) for feature, count in counts.items()},
        "n_joined": len(joined),
        "n_unique_in_universal": [len(joined[["layer", "neuron"]].drop_duplicates()), len(distinct)],
        "sign_agreement": float((suppresses == (joined["vocab_skew"] < 0)).mean()),
        "joined_all_kurt_gt10": bool((joined["vocab_kurt"] > 10).all()),
    }


def describe(values: pd.Series) -> list[float]:
    """Mean, standard deviation (n - 1), minimum, quartiles and maximum."""
    quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return [float(values.mean()), float(values.std(ddof=1)), *map(float, quartiles)]


def by_layer(layer: pd.Series, layers: int) -> list[int]:
    """Rows of each layer."""
    return np.bincount(layer, minlength=layers).tolist()


def _prediction_quantities(table: pd.DataFrame, layers: int) -> Quantities:
    """Neurons that write to few tokens: prediction neurons raise them, suppression neurons lower them."""
    few = table[table["vocab_kurt"] > 10]
    parts = {"all": few, "prediction": few[few["vocab_skew"] > 0], "suppression": few[few["vocab_skew"] < 0]}
    found: Quantities = {
        f"vocab_kurt_gt10_by_layer.{name}": by_layer(part["layer"], layers) for name, part in parts.items()
    }
    counts = {"n_vocab_kurt_gt10": "all", "n_prediction": "prediction", "n_suppression": "suppression"}
    return found | {name: len(parts[part]) for name, part in counts.items()}


def _largest(error: pd.Series) -> float:
    return float(error.abs().max())


def _ordered(table: pd.DataFrame, what: str) -> bool:
    high, middle, low = (table[f"{name}_{what}"] for name in ("max", "mean", "min"))
    return bool(((high >= middle) & (middle >= low)).all())


def _keys(table: pd.DataFrame) -> list[list[int]]:
    return table[["layer", "neuron"]].astype(int).to_numpy().tolist()
