"""Edits and their metrics the long way: one hooked forward pass of the plain model for each, and sorting."""

import numpy as np
import torch


def hooked_logits(model, tokens, changes, freeze=None):
    """Logits and final scales of a GPT-2 while activations are changed.

    Args:
        model: A GPT2LMHeadModel.
        tokens: Token ids.
        changes: By layer, a function of the post-activation [batch, position, neurons] that returns another.
        freeze: Scales [batch, position] by which the final norm divides instead of its own.
    """
    handles = []
    for layer, change in changes.items():
        projection = model.transformer.h[layer].mlp.c_proj
        handles.append(
            projection.register_forward_pre_hook(lambda _, args, change=change: (change(args[0]),))
        )
    try:
        with torch.no_grad():
            seen = []
            handles.append(
                model.transformer.ln_f.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
            )
            logits = model(tokens).logits
    finally:
        for handle in handles:
            handle.remove()
    norm, x = model.transformer.ln_f, seen[0]
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1) + norm.eps).sqrt()
    if freeze is not None:
        logits = (centred / freeze[..., None] * norm.weight + norm.bias) @ model.lm_head.weight.T
        scale = freeze
    return logits, scale


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def metrics(logits, untouched, tokens, log_frequency=None):
    """Every metric at every position that has a next token, by softmax and by sorting, in float64."""
    logits, untouched = logits[:, :-1].double().numpy(), untouched[:, :-1].double().numpy()
    target = tokens[:, 1:].numpy()
    log_p, log_q = log_softmax(logits), log_softmax(untouched)
    p, q = np.exp(log_p), np.exp(log_q)
    loss = -np.take_along_axis(log_p, target[..., None], -1)[..., 0]
    before = -np.take_along_axis(log_q, target[..., None], -1)[..., 0]
    own = np.take_along_axis(logits, target[..., None], -1)
    # From the back of the sorted logits: how many are larger than the true token's.
    rank = np.array(
        [
            len(row) - np.searchsorted(np.sort(row), value, side="right")
            for row, value in zip(logits.reshape(-1, logits.shape[-1]), own.reshape(-1), strict=True)
        ]
    ).reshape(loss.shape)
    entropy = -(p * log_p).sum(-1)
    return {
        "loss": loss,
        "entropy": entropy,
        "rank": rank,
        "reciprocal_rank": 1 / (rank + 1),
        "kl": (q * (log_q - log_p)).sum(-1),
        "top_changed": (logits.argmax(-1) != untouched.argmax(-1)).astype(float),
        "loss_change": np.abs(loss - before),
        "kl_frequency": np.zeros_like(loss)
        if log_frequency is None
        else (p * (log_p - log_frequency)).sum(-1),
    }
