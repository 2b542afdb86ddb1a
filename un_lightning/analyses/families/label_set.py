"""All labels of a run in one order: of the token, of the token before it, and in context."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from un_lightning.data.loader import Batch
from un_lightning.labels import ContextLabels, TokenLabels, previous_tokens


PREVIOUS = "previous/"
"""What names and kinds of labels of the token before begin with."""


@dataclass(frozen=True)
class LabelSet:
    """Labels of the token come first, then the same of the token before, then those in context."""

    token: TokenLabels
    context: Sequence[ContextLabels]

    @property
    def names(self) -> list[str]:
        """Name of each label."""
        own = self.token.names
        return [*own, *(PREVIOUS + name for name in own), *(n for part in self.context for n in part.names)]

    @property
    def kinds(self) -> list[str]:
        """Kind of each label."""
        own = self.token.kinds
        return [*own, *(PREVIOUS + kind for kind in own), *(k for part in self.context for k in part.kinds)]

    @property
    def own(self) -> int:
        """Labels of the token alone, and as many of the token before."""
        return len(self.token.names)

    @property
    def count(self) -> int:
        """Number of labels."""
        return 2 * self.own + sum(len(part.names) for part in self.context)

    def kind_index(self) -> tuple[list[str], Int64[Tensor, " labels"]]:
        """The different kinds in the order in which they come, and which of them each label has."""
        kinds = list(dict.fromkeys(self.kinds))
        return kinds, torch.tensor([kinds.index(kind) for kind in self.kinds], dtype=torch.int64)

    def in_context(self, batch: Batch, where: Tensor) -> Bool[Tensor, "counted labels"]:
        """Labels in context of the tokens at `where`."""
        parts = [part(batch)[where] for part in self.context]
        empty = torch.zeros(len(where), 0, dtype=torch.bool, device=where.device)
        return torch.cat([empty, *parts], dim=1)

    def of(self, batch: Batch, where: Tensor) -> Bool[Tensor, "counted labels"]:
        """All labels of the tokens at `where`."""
        matrix = self.token.matrix
        current = matrix[batch.tokens.flatten()[where]]
        before = previous_tokens(batch)[where]
        previous = matrix[before.clamp(min=0)] & (before >= 0)[:, None]
        return torch.cat([current, previous, self.in_context(batch, where)], dim=1)
