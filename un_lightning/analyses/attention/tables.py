"""Tables of the attention analysis (names: docs/attention.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from un_lightning.analyses.attention.choice import Pair, Screen
from un_lightning.analyses.attention.scores import Scores
from un_lightning.models.units import Units
from un_lightning.stats.bos_scores import extremes
from un_lightning.stats.head_sums import HeadSums
from un_lightning.stats.path_sums import QUANTITIES, RELATIONS, PathSums, ScreenSums
from un_lightning.stats.token_sample import TokenSample


KINDS = ("score", "score_shifted")


def head_table(scores: Scores, heads: HeadSums, model: str, directions: int, seed: int) -> pd.DataFrame:
    """One row a head: what it does with BOS, and the range of the neurons' scores beside that of chance."""
    rows = []
    attention, typical = heads.mean("bos").cpu(), heads.mean("value_norm").cpu()
    for layer, own in enumerate(scores.layers):
        found, null = scores.of(layer), scores.null(layer, directions, seed)
        values = scores.bos[layer].to(own.W_V) @ own.W_V  # [heads, d_head]
        written = (values[:, None] @ own.W_O)[:, 0].norm(dim=1).double().cpu()
        for head in range(own.heads):
            row = {
                "model": model,
                "layer": layer,
                "head": head,
                "bos_attention": float(attention[layer, head]),
            }
            row |= {
                "value_norm": float(typical[layer, head]),
                "bos_value_norm": float(written[head]),
                "value_ratio": float(typical[layer, head] / written[head]),
                "score_scale": own.score_scale,
            }
            for kind in KINDS:
                known, chance = found[kind][head], null[kind][head]
                known = known[known.isfinite()]
                row |= {
                    f"{kind}_max": float(known.max()) if len(known) else np.nan,
                    f"{kind}_min": float(known.min()) if len(known) else np.nan,
                    f"{kind}_std": float(known.std(correction=0)) if len(known) else np.nan,
                    f"{kind}_null_max": float(chance.max()),
                    f"{kind}_null_min": float(chance.min()),
                    f"{kind}_null_std": float(chance.std(correction=0)),
                }
            rows.append(row)
    return pd.DataFrame(rows)


def score_table(scores: Scores, heads: HeadSums, units: Units, k: int) -> pd.DataFrame:
    """For every head the neurons that pull it most towards BOS (ranks 1, 2, …) and away from it (-1, …)."""
    parts = []
    inverse = heads.mean("inverse_scale").cpu().numpy()
    for head_layer in range(len(scores.layers)):
        found = {kind: values.cpu() for kind, values in scores.of(head_layer).items()}
        if not found["score"].shape[1]:
            continue
        norms = np.concatenate(
            [layer.w_out.norm(dim=1).cpu().numpy() for layer in scores.layers[:head_layer]]
        )
        for sign, flat in zip((1, -1), extremes(found["score_shifted"], k), strict=True):
            head, rank = np.indices(flat.shape).reshape(2, -1)
            neurons = flat.numpy()[head, rank]
            layer, neuron = units.locate(neurons)
            columns = {
                "model": units.model,
                "head_layer": head_layer,
                "head": head,
                "rank": sign * (rank + 1),
            }
            columns |= {"layer": layer, "neuron": neuron}
            columns |= {kind: found[kind].numpy()[head, neurons] for kind in KINDS}
            # A unit of activation adds ‖w_out‖, and the layer norm divides it by its scale.
            columns["per_activation"] = columns["score_shifted"] * norms[neurons] * inverse[head_layer]
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def pair_table(
    scores: Scores,
    heads: HeadSums,
    pairs: Sequence[Pair],
    units: Units,
    paths: PathSums,
    sample: TokenSample,
    confidence: float,
) -> pd.DataFrame:
    """One row a pair: what happens to the head where the path from the neuron to its queries is cut."""
    table = _pair_keys(pairs, units)
    inverse = heads.mean("inverse_scale")
    own = [scores.of_pair(pair) for pair in pairs]
    for kind in KINDS:
        table[kind] = [values[kind] for values in own]
    norms = [float(scores.layers[pair.layer].w_out[pair.neuron].norm()) for pair in pairs]
    scales = [float(inverse[pair.head_layer]) for pair in pairs]
    table["per_activation"] = table["score_shifted"] * norms * scales
    table["tokens"] = paths.count.cpu().numpy().astype(np.int64)
    means = paths.mean("sum").cpu().numpy()
    for index, name in enumerate(QUANTITIES):
        table[f"mean_{name}"] = means[:, index]
    table["bos_attention"] = paths.mean("bos").cpu().numpy()
    table["output_norm"] = paths.mean("norm").cpu().numpy()
    filled = sample.tensors["filled"].cpu().numpy() > 0
    values = sample.tensors["values"].cpu().numpy()[filled].astype(np.float64)
    table["sampled"] = int(filled.sum())
    for first, second in RELATIONS:
        name = f"{QUANTITIES[first]}_{QUANTITIES[second]}"
        relation = paths.relation(first, second, confidence)
        table[f"pearson_{name}"] = relation.correlation.cpu().numpy()
        table[f"pearson_{name}_low"] = relation.low.cpu().numpy()
        table[f"pearson_{name}_high"] = relation.high.cpu().numpy()
        table[f"spearman_{name}"] = [
            _spearman(values[:, 3 * pair + first], values[:, 3 * pair + second]) for pair in range(len(pairs))
        ]
        table[f"slope_{name}"] = relation.slope.cpu().numpy()
    return table


def sample_table(pairs: Sequence[Pair], units: Units, sample: TokenSample, context: int) -> pd.DataFrame:
    """The sampled tokens: the three quantities of every pair at each, and where it stands."""
    filled = sample.tensors["filled"].cpu().numpy() > 0
    values = sample.tensors["values"].cpu().numpy()[filled]
    places = sample.places.cpu().numpy()[filled]
    keys = _pair_keys(pairs, units)
    parts = []
    for index in range(len(pairs)):
        part = pd.DataFrame({name: np.full(len(places), keys[name].iloc[index]) for name in keys.columns})
        part["block"], part["position"] = places // context, places % context
        for column, name in enumerate(QUANTITIES):
            part[name] = values[:, len(QUANTITIES) * index + column]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def screen_table(scores: Scores, found: Mapping[Screen, ScreenSums], units: Units) -> pd.DataFrame:
    """One row a neuron of a screened layer: its scores, and what removing it changes."""
    parts = []
    offsets = units.offsets
    for screen, sums in found.items():
        count = units.widths[screen.layer]
        columns: dict = {
            "model": np.full(count, units.model),
            "layer": screen.layer,
            "neuron": np.arange(count),
        }
        columns |= {"head_layer": screen.head_layer, "head": screen.head}
        own = slice(offsets[screen.layer], offsets[screen.layer] + count)
        for kind in KINDS:
            columns[kind] = scores.of(screen.head_layer)[kind][screen.head, own].cpu().numpy()
        columns["w_out_norm"] = scores.layers[screen.layer].w_out.norm(dim=1).cpu().numpy()
        columns |= {name: value.cpu().numpy() for name, value in sums.summary().items()}
        columns["tokens"] = int(sums.tensors["count"])
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _pair_keys(pairs: Sequence[Pair], units: Units) -> pd.DataFrame:
    table = pd.DataFrame([pair._asdict() for pair in pairs])
    table.insert(0, "model", units.model)
    return table


def _spearman(one: np.ndarray, two: np.ndarray) -> float:
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return float("nan")
    found: Any = stats.spearmanr(one, two)
    return float(found.statistic)
