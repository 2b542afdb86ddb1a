"""Scalars, tables and figures of the prediction analysis (names: docs/prediction.md)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from un_lightning.analyses.prediction import tables
from un_lightning.analyses.prediction.classes import INVALID, NAMED, classify
from un_lightning.analyses.token_text import token_texts
from un_lightning.config import PredictionConfig
from un_lightning.figures import prediction as figures
from un_lightning.labels import TokenLabels
from un_lightning.models.units import Units
from un_lightning.results.results import Results
from un_lightning.stats.next_token import NextTokenSums


def prediction_results(
    config: PredictionConfig,
    model: str,
    units: Mapping[str, Units],
    known: Mapping[str, Tensor],
    labels: TokenLabels,
    sums: NextTokenSums,
    tokenizer: PreTrainedTokenizerBase,
) -> Results:
    """Classes, explanations and what happens before the tokens.

    Args:
        config: What was asked.
        model: The member whose neurons are explained.
        units: Neurons of every member that was read.
        known: What was read off the weights.
        labels: Labels that explain.
        sums: Activations of the followed neurons, by the next token.
        tokenizer: For the text of tokens.
    """
    found = {name: value.numpy() for name, value in known.items()}
    codes = classify(config, found[f"{model}.cosine"])
    named = tables.Named(units[model], codes)
    neurons = tables.neuron_table(config, units, found)
    layers = tables.layer_table(neurons)
    explanations = tables.explanation_table(named, found, labels)
    shown = np.unique(np.concatenate([found["highest"].ravel(), found["lowest"].ravel()]))
    texts = dict(zip(shown.tolist(), token_texts(tokenizer, shown), strict=True)) if len(shown) else {}
    before = tables.next_token_table(named, found, labels, sums.contrast(config.confidence))
    null = tables.null_shares(config, found)
    results = Results()
    results.tables = {
        "neurons": neurons,
        "layers": layers,
        "explanations": explanations,
        "tokens": tables.token_table(named, found, texts),
        "next_token": before,
    }
    results.figures = {
        "trends_by_layer": figures.trends_by_layer(layers, neurons, model, config.kurtosis),
        "classes_by_layer": figures.classes_by_layer(layers, model, null),
    }
    examples = {
        name: (
            units[model].label(int(found[f"example_neuron.{name}"])),
            _best(explanations, units[model], int(found[f"example_neuron.{name}"])),
            found[f"example.{name}"],
        )
        for name in NAMED
        if f"example.{name}" in found
    }
    if examples:
        results.figures["examples"] = figures.examples(examples)
    if len(before):
        results.figures["next_token"] = figures.next_token(before, config.confidence)
    results.scalars = _scalars(config, neurons, model, null, found, explanations, before)
    results.headline = _headline(results.scalars)
    return results


def _best(explanations: pd.DataFrame, units: Units, flat: int) -> str:
    layer, neuron = (int(place) for place in units.locate(np.array(flat)))
    own = explanations.query("layer == @layer and neuron == @neuron and rank == 1")
    return str(own["label"].iloc[0])


def _scalars(
    config: PredictionConfig,
    neurons: pd.DataFrame,
    model: str,
    null: Mapping[str, float],
    found: tables.Found,
    explanations: pd.DataFrame,
    before: pd.DataFrame,
) -> dict:
    own = neurons[neurons["model"] == model]
    scalars: dict = {
        "neurons/count": len(own),
        "neurons/invalid": int((own["class"] == INVALID).sum()),
        "model": model,
        "weights": str(config.weights),
        "vocab_kurt/median": float(own["vocab_kurt"].median()),
        "vocab_kurt/null": float(np.nanmean(found["null.cosine"][:, 3])),
        "vocab_var/median": float(own["vocab_var"].median()),
        "vocab_var/null": float(np.nanmean(found["null.cosine"][:, 1])),
        "threshold/kurtosis": config.kurtosis,
        "threshold/variance": config.variance,
    }
    best = explanations[explanations["rank"] == 1]
    for name in NAMED:
        count = int((own["class"] == name).sum())
        members = neurons[neurons["class"] == name].groupby("model").size()
        scalars |= {
            f"{name}/count": count,
            f"{name}/percent": 100 * count / len(own),
            f"{name}/null_percent": 100 * null[name],
            f"{name}/family_mean": float(members.sum() / neurons["model"].nunique()),
            f"{name}/variance_reduction": float(
                best.loc[best["class"] == name, "variance_reduction"].median()
            ),
        }
        for kind in tables.SETS:
            rows = before[(before["class"] == name) & (before["set"] == kind) & before["auroc"].notna()]
            certain = rows[rows["low"].notna()]
            scalars |= {
                f"next_token/{name}/{kind}/neurons": len(rows),
                f"next_token/{name}/{kind}/auroc": float(rows["auroc"].median()),
                f"next_token/{name}/{kind}/before": int((certain["low"] > 0).sum()),
                f"next_token/{name}/{kind}/not_before": int((certain["high"] < 0).sum()),
            }
    return scalars


def _headline(scalars: Mapping) -> list[tuple[str, str]]:
    rows = [
        (f"Neurons of '{scalars['model']}', {scalars['weights']} weights", f"{scalars['neurons/count']:,}")
    ]
    for name in NAMED:
        rows.append(
            (
                f"{name.capitalize()} neurons (random directions)",
                f"{scalars[f'{name}/count']:,}: {scalars[f'{name}/percent']:.2f} % "
                f"({scalars[f'{name}/null_percent']:.2f} %)",
            )
        )
    for name in NAMED:
        followed = scalars[f"next_token/{name}/extreme/neurons"]
        if followed:
            rows.append(
                (
                    f"{name.capitalize()} neurons that fire before their tokens (median AUROC)",
                    f"{scalars[f'next_token/{name}/extreme/before']} of {followed} "
                    f"({scalars[f'next_token/{name}/extreme/auroc']:.2f})",
                )
            )
    return rows
