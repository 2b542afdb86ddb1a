"""Scalars, tables and figures of the attention analysis (names: docs/attention.md)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from un_lightning.analyses.attention import tables
from un_lightning.analyses.attention.choice import Pair, Screen
from un_lightning.analyses.attention.scores import Scores
from un_lightning.config import AttentionConfig
from un_lightning.figures import attention as figures
from un_lightning.models.units import Units
from un_lightning.results.results import Results
from un_lightning.stats.head_sums import HeadSums
from un_lightning.stats.path_sums import PathSums, ScreenSums
from un_lightning.stats.token_sample import TokenSample


SHOWN = 3
"""Pairs whose tokens are drawn."""


def attention_results(
    config: AttentionConfig,
    units: Units,
    scores: Scores,
    heads: HeadSums,
    pairs: Sequence[Pair],
    paths: PathSums,
    sample: TokenSample,
    screened: Mapping[Screen, ScreenSums],
    context: int,
    seed: int,
) -> Results:
    """Scores of all neurons and heads, and what cutting paths showed.

    Args:
        config: What was asked.
        units: The model's neurons.
        scores: Scores with the mean key of the whole text.
        heads: What every head does with BOS.
        pairs: Neurons and heads whose path was cut.
        paths: Sums of these.
        sample: Their values at some tokens.
        screened: Sums of whole layers.
        context: Tokens of a block.
        seed: Of the random directions.
    """
    table = tables.head_table(scores, heads, units.model, config.random_directions, seed)
    cut = tables.pair_table(scores, heads, pairs, units, paths, sample, config.confidence)
    tokens = tables.sample_table(pairs, units, sample, context)
    results = Results()
    results.tables = {
        "heads": table,
        "scores": tables.score_table(scores, heads, units, config.top_neurons),
        "pairs": cut,
        "tokens": tokens,
    }
    found = {
        layer: scores.of(layer)["score_shifted"].cpu().numpy().ravel()
        for layer in range(1, len(scores.layers))
    }
    null = {
        layer: scores.null(layer, config.random_directions, seed)["score_shifted"].cpu().numpy().ravel()
        for layer in found
    }
    results.figures = {
        "heads": figures.heads(table, units.model),
        "scores_by_layer": figures.scores_by_layer(found, null, units.model),
        "path_ablation": figures.path_ablation(cut.head(SHOWN), tokens),
    }
    results.scalars = _scalars(table, cut, units, found, null)
    if screened:
        screens = tables.screen_table(scores, screened, units)
        results.tables["screening"] = screens
        results.figures["screening"] = figures.screening(screens)
        results.scalars |= _screen_scalars(screens)
    results.headline = _headline(results.scalars, cut)
    return results


def _scalars(
    table: pd.DataFrame,
    cut: pd.DataFrame,
    units: Units,
    found: Mapping[int, np.ndarray],
    null: Mapping[int, np.ndarray],
) -> dict:
    everything, chance = (np.concatenate([*own.values()]) for own in (found, null))
    scalars: dict = {
        "model": units.model,
        "neurons/count": units.count,
        "heads/count": len(table),
        "value_ratio/median": float(table["value_ratio"].median()),
        "bos_attention/mean": float(table["bos_attention"].mean()),
        "pairs/count": len(cut),
        "score_shifted/max": float(np.nanmax(everything)),
        "score_shifted/min": float(np.nanmin(everything)),
        "score_shifted/null_max": float(chance.max()),
        "score_shifted/null_min": float(chance.min()),
        "score/max": float(table["score_max"].max()),
        "score/min": float(table["score_min"].min()),
        "score/null_max": float(table["score_null_max"].max()),
        "score/null_min": float(table["score_null_min"].min()),
    }
    for column in (c for c in cut.columns if c.startswith(("slope", "pearson", "spearman"))):
        if not column.endswith(("low", "high")):
            scalars[f"pairs/{column}"] = float(cut[column].mean())
    for row in cut.to_dict("records"):
        name = f"L{row['layer']}.{row['neuron']}-L{row['head_layer']}.H{row['head']}"
        for column in (
            "score_shifted",
            "mean_bos_change",
            *(c for c in cut.columns if c.startswith("slope")),
        ):
            scalars[f"pair/{name}/{column}"] = float(row[column])
        for column in (c for c in cut.columns if c.startswith(("pearson", "spearman"))):
            if not column.endswith(("low", "high")):
                scalars[f"pair/{name}/{column}"] = float(row[column])
    return scalars


def _screen_scalars(screens: pd.DataFrame) -> dict[str, float]:
    found = {}
    for (layer, head_layer, head), own in screens.groupby(["layer", "head_layer", "head"]):
        effect = own["score_shifted"] * own["w_out_norm"]
        name = f"screen/L{layer}-L{head_layer}.H{head}"
        found[f"{name}/score_slope_spearman"] = float(effect.corr(own["slope"], method="spearman"))
    return found


def _headline(scalars: Mapping, cut: pd.DataFrame) -> list[tuple[str, str]]:
    rows = [
        (
            f"Neurons and heads of '{scalars['model']}'",
            f"{scalars['neurons/count']:,}, {scalars['heads/count']}",
        ),
        (
            "Values of other tokens against BOS's (median head)",
            f"{scalars['value_ratio/median']:.2f} times as long",
        ),
        ("Attention to BOS (mean over heads)", f"{scalars['bos_attention/mean']:.3f}"),
        (
            "Score, mean key taken off: range (random directions)",
            f"{scalars['score_shifted/min']:.2f} to {scalars['score_shifted/max']:.2f} "
            f"({scalars['score_shifted/null_min']:.2f} to {scalars['score_shifted/null_max']:.2f})",
        ),
    ]
    for row in cut.head(SHOWN).to_dict("records"):
        pair = Pair(row["layer"], row["neuron"], row["head_layer"], row["head"])
        bos, norm = row["pearson_activation_bos_change"], row["pearson_activation_norm_change"]
        rows.append(
            (f"{pair}: activation with BOS attention, with output norm", f"r = {bos:.2f}, {norm:.2f}")
        )
    return rows
