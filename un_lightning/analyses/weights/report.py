"""Scalars, tables and figures of the analysis of weights (names: docs/weights.md)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from un_lightning.analyses.weights import tables
from un_lightning.analyses.weights.rows import HEAD_KINDS, NEURON_KINDS, VOCABULARY_KINDS, LayerRows
from un_lightning.config import WeightsConfig
from un_lightning.figures import weights as figures
from un_lightning.models.units import Units
from un_lightning.models.weights import ModelWeights
from un_lightning.results.results import Results
from un_lightning.stats.cosines import CosineSummary


RANDOM_DIRECTIONS = 64
"""Directions whose mean vocabulary kurtosis is the null."""


def weights_results(
    config: WeightsConfig,
    units: Units,
    weights: ModelWeights,
    layer_rows: LayerRows,
    tensors: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerBase | None,
    seed: int,
) -> Results:
    """Everything that the weights say about the neurons of a model.

    Args:
        config: What was computed.
        units: The neurons.
        weights: The weights that were read.
        layer_rows: What computed the rows; its tokens are those that count.
        tensors: One row a neuron, of all layers.
        tokenizer: For the text of tokens; None leaves it empty.
        seed: Seed of the random directions that show what chance gives.
    """
    found = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    neurons = tables.neuron_table(units, found)
    null = vocabulary_null(config, weights, layer_rows, seed)
    results = Results()
    results.tables = {
        "neurons": neurons,
        "vocabulary": tables.composition_table(units, found, VOCABULARY_KINDS),
        "tokens": tables.token_table(units, found, _texts(found, tokenizer)),
    }
    results.figures = {
        "norms_by_layer": figures.norms_by_layer(neurons),
        "vocabulary_by_layer": figures.vocabulary_by_layer(neurons, null),
    }
    if config.neurons:
        results.tables["neighbours"] = tables.neighbour_table(units, found)
        results.tables["compositions"] = tables.composition_table(units, found, NEURON_KINDS)
        nearest = nearest_null(units.count, weights.W_E.shape[1])
        results.figures["neighbours_by_layer"] = figures.neighbours_by_layer(neurons, nearest)
    if config.attention:
        heads = tables.head_table(units, found, weights)
        results.tables["heads"] = heads
        chance = weights.W_E.shape[1] ** -0.5
        means = {
            kind: heads.pivot_table(
                index="layer", columns="head_layer", values=kind, aggfunc="mean", dropna=False
            ).to_numpy()
            for kind in HEAD_KINDS
        }
        if len(units.widths) > 1:
            results.figures["head_composition"] = figures.head_composition(means, chance, units.model)
    columns = [name for name in neurons.columns if name not in ("model", "layer", "neuron")]
    results.scalars = {f"{name}/mean": float(neurons[name].mean()) for name in columns}
    results.scalars |= {
        "vocab_kurt/median": float(neurons["vocab_kurt"].median()),
        "vocab_kurt/null": null,
        "neurons/count": len(neurons),
        "neurons/invalid": int(neurons["in_out_sim"].isna().sum()),
        "weights": str(config.weights),
        "gated": weights.gated,
        "vocabulary/tokens": int(layer_rows.tokens.sum()),
        "model": units.model,
    }
    results.headline = _headline(results.scalars)
    return results


def vocabulary_null(config: WeightsConfig, weights: ModelWeights, layer_rows: LayerRows, seed: int) -> float:
    """Mean vocabulary kurtosis of random directions: what a neuron has that favours no token (method I.5)."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(RANDOM_DIRECTIONS, len(weights.W_U), generator=generator).to(weights.W_U)
    summary = CosineSummary(random, 1, 1, config.tile)
    summary.update(weights.W_U.T, layer_rows.tokens)
    return float(summary.moments()["kurt"].mean())


def nearest_null(count: int, width: int) -> float:
    """Median over random directions of the largest cosine with `count` - 1 others.

    Cosines of random directions in `width` dimensions are distributed as 2B - 1, with B from the beta
    distribution of both parameters (width - 1) / 2.
    """
    from scipy.stats import beta

    shape = (width - 1) / 2
    return float(2 * beta.ppf(0.5 ** (1 / max(count - 1, 1)), shape, shape) - 1)


def _texts(found: Mapping[str, np.ndarray], tokenizer: PreTrainedTokenizerBase | None) -> dict[int, str]:
    """Text of every token that some neuron is near to or far from."""
    if tokenizer is None:
        return {}
    named = [found[f"{kind}.{side}_index"] for kind in VOCABULARY_KINDS for side in ("best", "worst")]
    ids = np.unique(np.concatenate([index.ravel() for index in named]))
    return {int(token): str(tokenizer.decode([int(token)])) for token in ids if token >= 0}


def _headline(scalars: Mapping) -> list[tuple[str, str]]:
    rows = [
        (
            f"Neurons of '{scalars['model']}', {scalars['weights']} weights" + " (gated)" * scalars["gated"],
            f"{scalars['neurons/count']:,}",
        ),
        ("Mean norm of w_in, w_out", f"{scalars['w_in_norm/mean']:.3f}, {scalars['w_out_norm/mean']:.3f}"),
        ("Mean input bias", f"{scalars['input_bias/mean']:.3f}"),
        ("Mean cos(w_in, w_out)", f"{scalars['in_out_sim/mean']:.3f}"),
        (
            "Vocabulary kurtosis, mean and median (random directions)",
            f"{scalars['vocab_kurt/mean']:.2f}, {scalars['vocab_kurt/median']:.2f} "
            f"({scalars['vocab_kurt/null']:.2f})",
        ),
    ]
    if "in_in_max/mean" in scalars:
        nearest = f"{scalars['in_in_max/mean']:.3f}, {scalars['out_out_max/mean']:.3f}"
        rows.append(("Nearest other neuron by w_in, w_out (mean cosine)", nearest))
    return rows
