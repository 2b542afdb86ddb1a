"""How strongly a direction in the residual stream pulls queries towards a key (method H)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from un_lightning.stats.cosines import unit_rows


def query_directions(
    W_Q: Float[Tensor, "heads d_model d_head"], keys: Float[Tensor, "heads d_head"]
) -> Float[Tensor, "heads d_model"]:
    """W_Q k / √d_head: the direction whose presence in the residual stream raises the score of a key."""
    return torch.einsum("hde,he->hd", W_Q, keys) * W_Q.shape[-1] ** -0.5


def scores(
    written: Float[Tensor, "neurons d_model"], directions: Float[Tensor, "heads d_model"]
) -> Float[Tensor, "heads neurons"]:
    """ŵ · W_Q k / √d_head with ŵ of length one; NaN for neurons that write nothing."""
    unit, valid = unit_rows(written)
    return (directions @ unit.T).masked_fill(~valid, torch.nan)


def strongest_pairs(found: Sequence[Float[Tensor, "heads _"]], count: int) -> list[tuple[int, int, int]]:
    """The neurons and heads with the largest scores, positive and negative by turns.

    Args:
        found: Scores of the neurons of all earlier layers for the heads of each layer.
        count: How many pairs; no neuron and no head comes twice.

    Returns:
        Layer of the head, head, and index among the neurons of all layers.
    """
    sides: list[list[tuple[float, int, int, int]]] = [[], []]
    for layer, table in enumerate(found):
        if not table.numel():
            continue
        for side, sign in enumerate((1, -1)):
            signed = (sign * table).nan_to_num(nan=-torch.inf)
            value, index = signed.topk(min(count, table.shape[1]), dim=1)
            for head, (values, neurons) in enumerate(zip(value.tolist(), index.tolist(), strict=True)):
                sides[side] += [
                    (own, layer, head, neuron) for own, neuron in zip(values, neurons, strict=True)
                ]
    for side in sides:
        side.sort(key=lambda entry: (-entry[0], entry[1:]))
    chosen: list[tuple[int, int, int]] = []
    neurons, heads = set(), set()
    side = 0
    while len(chosen) < count and any(sides):
        while sides[side]:
            value, layer, head, neuron = sides[side].pop(0)
            if value > 0 and neuron not in neurons and (layer, head) not in heads:
                chosen.append((layer, head, neuron))
                neurons.add(neuron)
                heads.add((layer, head))
                break
        side = 1 - side
    return chosen


def extremes(
    table: Float[Tensor, "heads neurons"], k: int
) -> tuple[Int64[Tensor, "heads largest"], Int64[Tensor, "heads smallest"]]:
    """Indices of the k largest and of the k smallest scores of each head, the most extreme first."""
    k = min(k, table.shape[1])
    high, low = table.nan_to_num(nan=-torch.inf), table.nan_to_num(nan=torch.inf)
    return high.topk(k, dim=1).indices, low.topk(k, dim=1, largest=False).indices
