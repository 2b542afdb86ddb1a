"""Weight statistics by brute force in float64: explicit matrices, all cosines at once, scipy's moments."""

import numpy as np
from scipy import stats


def gpt2_processed(state, layers, heads):
    """Fold and centre the weights of a GPT-2 by hand (method section 0).

    `state` maps names of the Hugging Face model to float64 arrays. Gives a dict a layer and W_E, W_U.
    """
    centre = lambda matrix: matrix - matrix.mean(-1, keepdims=True)  # over the residual stream
    blocks = []
    for layer in range(layers):
        own = {
            name.removeprefix(f"transformer.h.{layer}."): value
            for name, value in state.items()
            if name.startswith(f"transformer.h.{layer}.")
        }
        gain, bias = own["ln_2.weight"], own["ln_2.bias"]
        W_in = own["mlp.c_fc.weight"]
        folded = gain[:, None] * W_in
        block = {
            "b_in": own["mlp.c_fc.bias"] + bias @ W_in,
            "w_in": (folded - folded.mean(0)).T,
            "w_out": centre(own["mlp.c_proj.weight"]),
        }
        width = len(gain)
        attention = own["ln_1.weight"][:, None] * own["attn.c_attn.weight"]
        attention = attention - attention.mean(0)
        for name, part in zip("QKV", np.split(attention, 3, axis=1), strict=True):
            block[f"W_{name}"] = part.reshape(width, heads, -1).transpose(1, 0, 2)
        block["W_O"] = centre(own["attn.c_proj.weight"]).reshape(heads, -1, width)
        blocks.append(block)
    gain = state["transformer.ln_f.weight"]
    W_U = gain[:, None] * state["lm_head.weight"].T
    W_U = W_U - W_U.mean(0)  # what reads from the last norm
    return blocks, centre(state["transformer.wte.weight"]), W_U - W_U.mean(1, keepdims=True)


def unit(rows):
    with np.errstate(invalid="ignore", divide="ignore"):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosines(left, right):
    return unit(left) @ unit(right).T


def moments(values, weights=None):
    """Mean, population variance, skew and kurtosis (3 for a normal distribution) of every row."""
    if weights is None:
        return np.stack(
            [
                values.mean(1),
                values.var(1),
                stats.skew(values, axis=1),
                stats.kurtosis(values, axis=1, fisher=False),
            ],
            axis=1,
        )
    mean = np.average(values, axis=1, weights=weights)
    centred = values - mean[:, None]
    second, third, fourth = (np.average(centred**k, axis=1, weights=weights) for k in (2, 3, 4))
    return np.stack([mean, second, third / second**1.5, fourth / second**2], axis=1)


def head_composition(w_in, w_out, W_Q, W_K, W_V, W_O):
    """Q, K, V and O of one neuron and one head, from the [d_model, d_model] matrices."""
    QK, OV = W_Q @ W_K.T, W_V @ W_O
    reads, writes = w_in / np.linalg.norm(w_in), w_out / np.linalg.norm(w_out)
    return np.array(
        [
            np.linalg.norm(writes @ QK) / np.linalg.norm(QK),
            np.linalg.norm(QK @ writes) / np.linalg.norm(QK),
            np.linalg.norm(writes @ OV) / np.linalg.norm(OV),
            np.linalg.norm(OV @ reads) / np.linalg.norm(OV),
        ]
    )
