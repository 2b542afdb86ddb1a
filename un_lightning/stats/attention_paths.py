"""What a head attends to when a neuron's write is taken out of its queries (paper section 5.3; method H).

Only the direct path is cut: the neuron's output is subtracted from the residual stream that the head's query
reads, keys and values stay. A query belongs to one position, so cutting the path at all positions at once
gives at each what cutting it there alone would.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


ELEMENTS = 1 << 24
"""Attention scores that exist at a time."""


class Head(NamedTuple):
    """One head, reading a residual stream of mean 0 and variance 1."""

    W_Q: Float[Tensor, "d_model d_head"]
    bias_q: Float[Tensor, " d_head"]
    W_K: Float[Tensor, "d_model d_head"]
    bias_k: Float[Tensor, " d_head"]
    W_V: Float[Tensor, "d_model d_head"]
    W_O: Float[Tensor, "d_head d_model"]
    eps: float


class Seen(NamedTuple):
    """What a head does at each destination."""

    bos: Float[Tensor, "rows destinations"]
    """Attention to position 0."""
    norm: Float[Tensor, "rows destinations"]
    """Length of the head's output, ‖W_O Σ p v‖."""


def centred(
    residual: Float[Tensor, "... d_model"], eps: float
) -> tuple[Float[Tensor, "... d_model"], Float[Tensor, "..."]]:
    """The residual stream without its mean, and the scale that the layer norm divides it by."""
    values = residual - residual.mean(-1, keepdim=True)
    return values, (values.square().mean(-1) + eps).sqrt()


def causal_pattern(
    queries: Float[Tensor, "... destinations d_head"], keys: Float[Tensor, "... sources d_head"], first: int
) -> Float[Tensor, "... destinations sources"]:
    """Attention of queries at the positions from `first` on to all keys up to their own position."""
    return _scores(queries, keys, first).softmax(-1)


def bos_attention(
    queries: Float[Tensor, "... destinations d_head"], keys: Float[Tensor, "... sources d_head"], first: int
) -> Float[Tensor, "... destinations"]:
    """The same, of which only the attention to position 0 is kept."""
    scores = _scores(queries, keys, first)
    return (scores[..., 0] - scores.logsumexp(-1)).exp()


class HeadPaths:
    """One head on some blocks, ready to have paths into its queries cut."""

    def __init__(self, head: Head, residual: Float[Tensor, "rows position d_model"], first: int) -> None:
        """Compute what stays as it is.

        Args:
            head: The head.
            residual: What the head's block reads.
            first: First position whose query is changed.
        """
        self.head, self.first = head, first
        values, scale = centred(residual, head.eps)
        normal = values / scale[..., None]
        self.values, self.scale = values[:, first:], scale[:, first:]
        self.keys = normal @ head.W_K + head.bias_k
        self.moved = normal @ head.W_V
        self.gram = head.W_O @ head.W_O.T
        self.original = self._seen(normal[:, first:] @ head.W_Q + head.bias_q)

    def cut(self, activation: Float[Tensor, "rows position"], w_out: Float[Tensor, " d_model"]) -> Seen:
        """What the head does without one neuron in its queries.

        Args:
            activation: Of the neuron, at every position.
            w_out: What the neuron writes, without a mean.
        """
        values = self.values - activation[:, self.first :, None] * w_out
        scale = (values.square().mean(-1) + self.head.eps).sqrt()
        return self._seen((values / scale[..., None]) @ self.head.W_Q + self.head.bias_q)

    def screen(
        self,
        row: Int[Tensor, " chosen"],
        place: Int[Tensor, " chosen"],
        activation: Float[Tensor, "chosen neurons"],
        w_out: Float[Tensor, "neurons d_model"],
    ) -> tuple[Float[Tensor, " chosen"], Float[Tensor, "chosen neurons"]]:
        """Attention to position 0 without each single neuron of a layer, at some destinations.

        With the neuron's write a·w gone, the query is ((x - a w) W_Q)/σ' + b_Q, and σ'² follows from ‖x‖²,
        x·w and ‖w‖²: a score is one number of the destination less a times one of the neuron, over σ'.

        Args:
            row: Block of each destination.
            place: Its position, at least `first`.
            activation: Of the neurons at the destinations.
            w_out: What the neurons write, without a mean.

        Returns:
            Attention of the untouched head, and without each neuron.
        """
        head, chosen = self.head, place - self.first
        values, scale = self.values[row, chosen], self.scale[row, chosen]
        width = values.shape[1]
        reach = values @ w_out.T
        square = (values.square().sum(1)[:, None] - 2 * activation * reach) / width
        square += activation.square() * (w_out.square().sum(1) / width) + head.eps
        left = square.clamp(min=head.eps).sqrt()
        root = head.W_Q.shape[1] ** -0.5
        own, written = values @ head.W_Q * root, w_out @ head.W_Q * root
        without = torch.empty_like(activation)
        original = torch.empty_like(scale)
        for index, (block, position) in enumerate(zip(row.tolist(), place.tolist(), strict=True)):
            keys = self.keys[block, : position + 1].T
            offset = head.bias_q @ keys * root
            stays = own[index] @ keys
            original[index] = (stays / scale[index] + offset).softmax(0)[0]
            step = max(1, ELEMENTS // keys.shape[1])
            for start in range(0, len(w_out), step):
                part = slice(start, start + step)
                scores = stays - activation[index, part, None] * (written[part] @ keys)
                scores = scores / left[index, part, None] + offset
                without[index, part] = (scores[:, 0] - scores.logsumexp(1)).exp()
        return original, without

    def _seen(self, queries: Float[Tensor, "rows destinations d_head"]) -> Seen:
        bos, norm = [], []
        step = max(1, ELEMENTS // (queries.shape[1] * self.keys.shape[1]))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            pattern = causal_pattern(queries[part], self.keys[part], self.first)
            output = pattern @ self.moved[part]
            bos.append(pattern[..., 0])
            norm.append(((output @ self.gram) * output).sum(-1).clamp(min=0).sqrt())
        return Seen(torch.cat(bos), torch.cat(norm))


def _scores(
    queries: Float[Tensor, "... destinations d_head"], keys: Float[Tensor, "... sources d_head"], first: int
) -> Float[Tensor, "... destinations sources"]:
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    destination = torch.arange(queries.shape[-2], device=queries.device)[:, None] + first
    return scores.masked_fill_(torch.arange(keys.shape[-2], device=keys.device) > destination, -torch.inf)
