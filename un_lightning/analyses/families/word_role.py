"""What part of a word a token is: the paper's split of unigram neurons (Figure 15)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from un_lightning.data.loader import Batch
from un_lightning.labels import previous_tokens


ROLES = ("word", "beginning", "middle")
"""A whole word; the beginning of one that goes on; a part that is no beginning, the end included."""
UNKNOWN = -1
"""A token without letters at its ends, or one whose neighbour is not in the block."""


class WordRoles:
    """The role of each token.

    A token goes on with the word of the one before if that ends with a letter and it begins with one. (The
    reference takes every token without a leading space for the middle of a word, also behind a bracket.)
    """

    def __init__(self, decoded: Sequence[str]) -> None:
        """Look at the ends of each token.

        Args:
            decoded: Text of every token id, with its leading space.
        """
        ends = np.array([(text[:1].isalpha(), text[-1:].isalpha()) for text in decoded], dtype=bool)
        self.begins, self.ends = torch.from_numpy(ends.reshape(-1, 2)).T
        self.inner = torch.tensor([any(letter.isalpha() for letter in text) for text in decoded])

    def __call__(self, batch: Batch) -> Int64[Tensor, " tokens"]:
        """Role of all tokens of a batch, block by block: an index into `ROLES`, or `UNKNOWN`."""
        device = batch.tokens.device
        self.begins, self.ends, self.inner = (t.to(device) for t in (self.begins, self.ends, self.inner))
        tokens, document = batch.tokens, batch.document
        before = previous_tokens(batch).view_as(tokens)
        joined = self._joined(before, tokens)
        goes_on = torch.zeros_like(joined)
        goes_on[:, :-1] = joined[:, 1:]
        seen = torch.zeros_like(joined)
        seen[:, :-1] = document[:, 1:] >= 0  # the token behind the last one of a block is not known
        seen[:, 1:2] &= ~self.begins[tokens[:, 1:2]]  # nor whether a block begins within a word
        role = torch.where(joined, 2, torch.where(goes_on, 1, 0))
        return torch.where(seen & self.inner[tokens], role, UNKNOWN).flatten()

    def _joined(self, before: Tensor, tokens: Tensor) -> Bool[Tensor, "block position"]:
        return (before >= 0) & self.ends[before.clamp(min=0)] & self.begins[tokens]
