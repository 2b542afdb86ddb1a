"""Tokens as people read them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from transformers import PreTrainedTokenizerBase


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Int[ndarray, " tokens"]) -> ndarray:
    """Text of each token on its own; bytes that are no whole character become U+FFFD.

    Args:
        tokenizer: The tokenizer.
        ids: Token ids, in any order and with repeats.
    """
    known, index = np.unique(ids, return_inverse=True)
    return np.array(decode(tokenizer, [[token] for token in known.tolist()]), dtype=object)[index]


def decode(tokenizer: PreTrainedTokenizerBase, windows: Sequence[Sequence[int]]) -> list[str]:
    """Text of runs of tokens, special ones included and nothing tidied up."""
    if not windows:
        return []
    texts = tokenizer.batch_decode(
        [list(window) for window in windows], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return list(texts)
