"""What the columns of neuron tables mean, and which of them a table shows first."""

FIRST = (
    "excess_corr", "mean_corr", "universal", "family", "label", "vr", "class", "skew", "kurt", "sparsity",
    "vocab_kurt",
)  # fmt: skip
"""Columns that the table of neurons shows at first, as far as they exist."""

NOTES = {
    "valid": "never NaN or infinite, and not constant",
    "excess_corr": "mean over models of the largest correlation, less the same against rotated models",
    "max_corr": "largest correlation with any neuron of another model: the largest over models",
    "mean_corr": "largest correlation with any neuron of another model: mean over models",
    "min_corr": "largest correlation with any neuron of another model: the smallest over models",
    "mean_baseline": "largest correlation with rotated models: mean over models",
    "baseline_stderr": "standard error of the baseline over its draws",
    "universal": "excess correlation above the run's threshold",
    "followed": "the interval comes from the unit's own groups of documents, not from those of others",
    "excess_stderr_seeds": "standard error of the excess over the other models, as other seeds would give",
    "p_chance": "chance of such an excess if the other models' units were arbitrary directions",
    "q_chance": "false-discovery rate at which the excess counts as more than chance",
    "support_tokens": "counted tokens at which the neuron is active",
    "support_documents": "documents in which the neuron is active, by their number modulo 61",
    "effective_tokens": "tokens that share the neuron's variance; 1 if one token has all of it",
    "rare": "rests on few tokens or on one document",
    "corr_stderr": "standard error of the mean correlation over text",
    "excess_low": "lower end of the excess correlation's interval: other text and draws, these models",
    "excess_high": "upper end of the excess correlation's interval: other text and draws, these models",
    "excess_low_seeds": "lower end of the excess correlation's interval: other text and other seeds",
    "excess_high_seeds": "upper end of the excess correlation's interval: other text and other seeds",
    "split_corr": "correlation on one half of the text with the partner chosen on the other: a lower bound",
    "mutual": "other models whose best partner chooses this neuron, too",
    "mean": "mean pre-activation",
    "var": "variance of the pre-activation",
    "skew": "skew of the pre-activation; 0 for a Gaussian",
    "kurt": "kurtosis of the pre-activation; 3 for a Gaussian",
    "sparsity": "activation frequency: share of tokens with a positive pre-activation",
    "min": "smallest pre-activation",
    "max": "largest pre-activation",
    "outside": "share of tokens outside the range of the histogram",
    "bin_width": "error bound of the quantiles",
    "post_mean": "mean activation",
    "post_var": "variance of the activation",
    "eta2_position": "share of the pre-activation's variance that the position in the block explains",
    "eta2_token": "share of the activation's variance that a perfect label of the token would explain",
    "eta2_previous": "share of the activation's variance that the token before would explain",
    "position_mi": "mutual information of position and firing, in nats",
    "position_std": "standard deviation over positions of the mean pre-activation",
    "w_in_norm": "length of the input weights",
    "w_out_norm": "length of the output weights",
    "input_bias": "bias of the pre-activation",
    "in_out_sim": "cosine of input and output weights",
    "l2_penalty": "sum of the squared lengths of input and output weights",
    "vocab_mean": "mean over tokens of the cosine of unembedding and output weights",
    "vocab_var": "variance over tokens of that cosine",
    "vocab_skew": "skew over tokens of that cosine",
    "vocab_kurt": "kurtosis over tokens of that cosine; 3 for a random direction",
    "family": "family of the label that explains most of the neuron",
    "label": "label that explains most of the neuron's variance",
    "vr": "share of the activation's variance that the label explains",
    "corr": "correlation of the activation with the label",
    "auroc": "chance that a token with the label has the larger pre-activation",
    "f1": "best F1 of a threshold on the pre-activation",
    "p": "p-value of the label's correlation",
    "q": "false-discovery rate at which the label would be accepted",
    "significant": "the label is accepted at the run's false-discovery rate",
    "role": "part of a word in which a unigram neuron fires",
    "class": "prediction, suppression or partition neuron, by its effect on the vocabulary",
}
"""One line on a column."""


def note(name: str) -> str:
    """One line on a column, empty where nothing is known of it."""
    if name.endswith("_weighted"):
        return f"{note(name.removesuffix('_weighted'))}, with tokens at their frequency".lstrip(", ")
    if name.startswith("q0."):
        return f"pre-activation at the quantile {name[1:]}"
    return NOTES.get(name, "")
