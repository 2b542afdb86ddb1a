"""What a model predicts at each token: loss, entropy, rank, and how far that is from the untouched run.

Nothing is sorted: the rank of the true token is the number of tokens with a larger logit, so that of equal
logits none is before the other.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


METRICS = (
    "loss",
    "entropy",
    "rank",
    "reciprocal_rank",
    "kl",
    "top_changed",
    "loss_change",
    "kl_frequency",
)
"""Order of the metrics (docs/entropy.md): nats, nats, tokens before the true one, 1 / (rank + 1),
KL(untouched ‖ edited) in nats, 1 where another token has become the most likely one, |loss - untouched loss|,
and KL(edited ‖ token frequencies) in nats where frequencies are known (0 otherwise)."""


class Untouched(NamedTuple):
    """The run without edits, one row a token."""

    probability: Float[Tensor, "tokens vocabulary"]
    loss: Float[Tensor, " tokens"]
    entropy: Float[Tensor, " tokens"]
    top: Int[Tensor, " tokens"]
    """Most likely token, the first of equals."""

    def part(self, rows: slice) -> "Untouched":
        """Some of the tokens."""
        return Untouched(*(column[rows] for column in self))


SUMS = 7
"""Numbers of each token and edit that need the whole vocabulary; every metric follows from them."""


def vocabulary_sums(
    logits: Float[Tensor, "tokens edits vocabulary"],
    tokens: Int[Tensor, "tokens two"],
    probability: Float[Tensor, "tokens vocabulary"],
    sums: Float[Tensor, "sums tokens edits"],
    log_frequency: Float[Tensor, " vocabulary"] | None = None,
    room: Float[Tensor, "tokens edits vocabulary"] | None = None,
) -> None:
    """Reduce logits to what the metrics need, in as few passes over them as there are sums.

    Args:
        logits: Logits after each edit; they are overwritten.
        tokens: The token that comes next, and the most likely one of the untouched run.
        probability: Probabilities of the untouched run.
        sums: Where the results go, `SUMS` of them.
        log_frequency: ln of each token's share of some text.
        room: Memory of the size of the logits that may be overwritten.
    """
    room = torch.empty_like(logits) if room is None else room
    own_kept = logits.gather(2, tokens[:, None].expand(-1, logits.shape[1], 2))
    own, best = own_kept[:, :, :1], logits.amax(2, keepdim=True)
    torch.gt(logits, own, out=room)
    torch.sum(room, 2, out=sums[0])
    # The largest logit becomes zero: sums lose no digits to an offset that all logits share.
    logits -= best
    torch.mul(logits, probability[:, None], out=room)
    torch.sum(room, 2, out=sums[1])
    torch.exp(logits, out=room)
    torch.sum(room, 2, out=sums[2])
    if log_frequency is not None:
        sums[3] = (room.flatten(0, 1) @ log_frequency).view_as(sums[3])
    room *= logits
    torch.sum(room, 2, out=sums[4])
    torch.sub(own_kept, best, out=own_kept)
    sums[5:] = own_kept.permute(2, 0, 1)


def token_metrics(
    sums: Float[Tensor, "sums tokens edits"], untouched: Untouched, frequencies: bool
) -> Float[Tensor, "metrics tokens edits"]:
    """Every metric of every token under several edits.

    Args:
        sums: From `vocabulary_sums`.
        untouched: The same tokens without edits.
        frequencies: Whether the sums know token frequencies.

    Returns:
        One slice a metric, in the order of `METRICS`.
    """
    rank, expected, total, frequent, weighted, own, kept = sums
    log_total = total.log()
    entropy = log_total - weighted / total
    loss = log_total - own
    return torch.stack(
        [
            loss,
            entropy,
            rank,
            1 / (rank + 1),
            log_total - expected - untouched.entropy[:, None],
            (kept < 0).to(loss.dtype),
            (loss - untouched.loss[:, None]).abs(),
            -entropy - frequent / total if frequencies else torch.zeros_like(loss),
        ]
    )


def untouched_metrics(
    logits: Float[Tensor, "tokens vocabulary"],
    targets: Int[Tensor, " tokens"],
    log_frequency: Float[Tensor, " vocabulary"] | None = None,
) -> tuple[Untouched, Float[Tensor, "metrics tokens"]]:
    """The run without edits, and its metrics; those that compare with itself are zero.

    Args:
        logits: Logits; they are overwritten.
        targets: The token that comes next.
        log_frequency: ln of each token's share of some text.
    """
    own = logits.gather(1, targets[:, None])
    best, top = logits.max(1, keepdim=True)
    rank = (logits > own).sum(1, dtype=logits.dtype)
    logits -= best
    probability = logits.exp()
    total = probability.sum(1, keepdim=True)
    probability /= total
    entropy = total.log().squeeze(1) - logits.mul_(probability).sum(1)
    loss = (total.log() - (own - best)).squeeze(1)
    zeros = torch.zeros_like(loss)
    frequent = zeros if log_frequency is None else -entropy - probability @ log_frequency
    metrics = torch.stack([loss, entropy, rank, 1 / (rank + 1), zeros, zeros, zeros, frequent])
    return Untouched(probability, loss, entropy, top.squeeze(1)), metrics
