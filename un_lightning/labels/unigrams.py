"""Unigrams: strings that several tokens write, with or without a space and capitals (method E.2)."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from un_lightning.labels.decoding import BROKEN
from un_lightning.labels.label import TokenLabels


def unigram_labels(
    decoded: Sequence[str],
    counts: Int[Tensor, " vocabulary"] | None,
    variants: int,
    occurrences: int,
) -> TokenLabels:
    """A label for each string that enough tokens write and that is frequent enough.

    Texts are compared without white space around them and without case. Tokens of white space alone, and
    those that are no whole characters, belong to no string: all of the latter would look alike.

    Args:
        decoded: Text of every token id.
        counts: How often each token occurs; None takes every string as frequent.
        variants: Fewest tokens that write the string.
        occurrences: Fewest occurrences of all of them together.
    """
    written: dict[str, list[int]] = {}
    for token, text in enumerate(decoded):
        string = text.strip().lower()
        if string and BROKEN not in string:
            written.setdefault(string, []).append(token)
    often = lambda tokens: counts is None or int(counts[tokens].sum()) >= occurrences
    chosen = {
        string: tokens
        for string, tokens in sorted(written.items())
        if len(tokens) >= variants and often(tokens)
    }
    matrix = torch.zeros(len(decoded), len(chosen), dtype=torch.bool)
    for column, tokens in enumerate(chosen.values()):
        matrix[tokens, column] = True
    return TokenLabels([f"unigram/{string}" for string in chosen], ["unigram"] * len(chosen), matrix)
