"""How strongly neurons compose with attention heads (paper section 2; method C.2), in factored form.

With W_QK = W_Q W_Kᵀ and W_OV = W_V W_O, both [d_model, d_model] with the query on the left, and a unit
vector w:

    Q = ‖wᵀ W_QK‖ / ‖W_QK‖     the neuron writes what the head's queries read
    K = ‖W_QK w‖ / ‖W_QK‖      the neuron writes what the head's keys read
    V = ‖wᵀ W_OV‖ / ‖W_OV‖     the neuron writes what the head moves
    O = ‖W_OV w‖ / ‖W_OV‖      the head writes what the neuron reads

Norms are Frobenius norms. Each numerator is a quadratic form of a [d_head, d_head] Gram matrix, so the large
matrices never exist. A random direction gives about 1 / √d_model. The reference scripts have Q and K swapped.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.stats.cosines import unit_rows


class HeadComposition(NamedTuple):
    """Composition of neurons with the heads of one layer; NaN where a neuron or a head has no weight."""

    Q: Float[Tensor, "neurons heads"]
    K: Float[Tensor, "neurons heads"]
    V: Float[Tensor, "neurons heads"]
    O: Float[Tensor, "neurons heads"]  # noqa: E741


def head_composition(
    w_in: Float[Tensor, "neurons d_model"],
    w_out: Float[Tensor, "neurons d_model"],
    W_Q: Float[Tensor, "heads d_model d_head"],
    W_K: Float[Tensor, "heads d_model d_head"],
    W_V: Float[Tensor, "heads d_model d_head"],
    W_O: Float[Tensor, "heads d_head d_model"],
) -> HeadComposition:
    """Compose every neuron with every head.

    Args:
        w_in: What the neurons read, of any length.
        w_out: What the neurons write.
        W_Q: Queries of the heads.
        W_K: Keys.
        W_V: Values.
        W_O: Outputs.
    """
    (reads, has_input), (writes, has_output) = unit_rows(w_in), unit_rows(w_out)
    gram_Q, gram_K, gram_V = (W.mT @ W for W in (W_Q, W_K, W_V))
    gram_O = W_O @ W_O.mT
    # ‖A Bᵀ‖² = tr(AᵀA BᵀB)
    norm_QK = (gram_Q * gram_K).sum((1, 2)).clamp(min=0).sqrt()
    norm_OV = (gram_V * gram_O).sum((1, 2)).clamp(min=0).sqrt()
    silent, deaf = ~has_output[:, None], ~has_input[:, None]
    return HeadComposition(
        Q=(_form(writes @ W_Q, gram_K) / norm_QK).masked_fill(silent, torch.nan),
        K=(_form(writes @ W_K, gram_Q) / norm_QK).masked_fill(silent, torch.nan),
        V=(_form(writes @ W_V, gram_O) / norm_OV).masked_fill(silent, torch.nan),
        O=(_form(reads @ W_O.mT, gram_V) / norm_OV).masked_fill(deaf, torch.nan),
    )


def _form(
    inner: Float[Tensor, "heads neurons d_head"], gram: Float[Tensor, "heads d_head d_head"]
) -> Float[Tensor, "neurons heads"]:
    """√(xᵀ G x) of every neuron's image in every head."""
    return ((inner @ gram) * inner).sum(2).clamp(min=0).sqrt().T.contiguous()
