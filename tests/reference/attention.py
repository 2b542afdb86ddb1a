"""Attention of a GPT-2 by brute force in float64: unfolded weights, one position at a time."""

import numpy as np


def layer_norm(values, gain, bias, eps):
    centred = values - values.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * gain + bias


class Layer:
    """One block of a GPT-2, from the state of the Hugging Face model."""

    def __init__(self, state, layer, heads, eps):
        own = lambda name: state[f"transformer.h.{layer}.{name}"].double().numpy()
        self.gain, self.bias, self.eps = own("ln_1.weight"), own("ln_1.bias"), eps
        parts = np.split(own("attn.c_attn.weight"), 3, axis=1)
        offsets = np.split(own("attn.c_attn.bias"), 3)
        self.W = [np.split(part, heads, axis=1) for part in parts]
        self.b = [np.split(part, heads) for part in offsets]
        self.W_O = np.split(own("attn.c_proj.weight"), heads, axis=0)
        self.w_out = own("mlp.c_proj.weight")

    def read(self, residual, head, what):
        normal = layer_norm(residual, self.gain, self.bias, self.eps)
        return normal @ self.W["qkv".index(what)][head] + self.b["qkv".index(what)][head]

    def values(self, residual, head):
        """Values without what the biases add to every one."""
        nothing = self.bias @ self.W[2][head] + self.b[2][head]
        return self.read(residual, head, "v") - nothing

    def written(self, mixed, head):
        """Length of a head's output, less its mean over the residual stream."""
        output = mixed @ self.W_O[head]
        return np.linalg.norm(output - output.mean(-1, keepdims=True), axis=-1)

    def attend(self, query, keys):
        scores = keys @ query / np.sqrt(len(query))
        weights = np.exp(scores - scores.max())
        return weights / weights.sum()

    def pattern(self, residual, head):
        """Attention [position, position] of one block of tokens."""
        queries, keys = self.read(residual, head, "q"), self.read(residual, head, "k")
        found = np.zeros((len(residual), len(residual)))
        for place in range(len(residual)):
            found[place, : place + 1] = self.attend(queries[place], keys[: place + 1])
        return found

    def seen(self, residual, head, place, removed):
        """Attention to BOS and output length at one position, with something taken out of its query alone."""
        keys, values = self.read(residual, head, "k"), self.values(residual, head)
        query = self.read(residual[place] - removed, head, "q")
        weights = self.attend(query, keys[: place + 1])
        return weights[0], self.written(weights @ values[: place + 1], head)

    def score(self, bos, typical, w_out, head):
        """H-score of a neuron, and the same less a mean key; `bos` and `typical` are normalised residuals."""
        w_out = w_out - w_out.mean()
        unit = w_out / np.linalg.norm(w_out)
        W_Q, W_K = (self.gain[:, None] * self.W[i][head] for i in (0, 1))
        offset = self.bias @ self.W[1][head] + self.b[1][head]
        width = np.sqrt(W_Q.shape[1])
        # The write has no mean over the residual stream, which is all that a layer norm takes from it.
        return unit @ W_Q @ (bos @ W_K + offset) / width, unit @ W_Q @ ((bos - typical) @ W_K) / width
