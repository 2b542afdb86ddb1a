"""What a unit's correlations rest on: at how many tokens, and in how many documents, it is active.

A correlation of .9 between two units that fire at one token each says that both know this token, and nothing
about any other.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


DOCUMENTS = 61
"""Classes of documents, by their number modulo this prime: few are told apart, many are counted up to it."""

FEW_TOKENS = 10.0
"""Effective tokens below which a unit counts as rare: an outlier among them could make its correlation."""


class UnitSupport(NamedTuple):
    """The findings, for each unit."""

    tokens: Int64[Tensor, " units"]
    """Counted tokens at which it is active."""
    documents: Int64[Tensor, " units"]
    """Classes of documents with such tokens: as many as there are documents, where these are few."""
    effective: Float64[Tensor, " units"]
    """(Σd²)² / Σd⁴ of its distances d from its mean: 1 if one token has all of its variance."""

    @property
    def rare(self) -> Bool[Tensor, " units"]:
        """Units that rest on few tokens or on one document, of text that has several."""
        one = (self.documents <= 1) & bool((self.documents > 1).any())
        return one | (self.tokens <= 1) | (self.effective < FEW_TOKENS)


class Support(Statistic):
    """Active tokens of each unit by class of document, and Σv³ and Σv⁴ of its shifted activations."""

    ROWS = 1024
    """Tokens at a time."""

    def __init__(self, units: int, device: torch.device) -> None:
        active = torch.zeros(DOCUMENTS + 1, units, dtype=torch.int32, device=device)
        zeros = lambda: torch.zeros(units, dtype=torch.float64, device=device)
        super().__init__({"active": active, "third": zeros(), "fourth": zeros()})

    def add(
        self,
        values: Float[Tensor, "tokens units"],
        least: Float[Tensor, " units"],
        document: Int[Tensor, " tokens"],
        counted: Bool[Tensor, " tokens"],
    ) -> None:
        """Add a batch.

        Args:
            values: Shifted activations, zeros at tokens that are not counted.
            least: What a shifted activation must exceed to be active.
            document: Document of each token; -1 at the BOS, which belongs to none.
            counted: False where the token is excluded.
        """
        dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
        place = torch.where(document < 0, DOCUMENTS, document % DOCUMENTS)
        place = torch.where(counted, place, DOCUMENTS + 1)  # the last row is thrown away
        found = torch.zeros(DOCUMENTS + 2, values.shape[1], device=values.device)
        bound = least.to(values.dtype)
        for start in range(0, len(values), self.ROWS):
            part = values[start : start + self.ROWS]
            found.index_add_(0, place[start : start + self.ROWS], (part > bound).float())
            exact = part.to(dtype)
            square = exact.square()
            self.tensors["third"] += (exact * square).sum(0)
            self.tensors["fourth"] += square.square_().sum(0)
        self.tensors["active"] += found[:-1].to(torch.int32)

    def found(self, sums: Mapping[str, Float64[Tensor, " units"]], count: int) -> UnitSupport:
        """What was added up.

        Args:
            sums: `sum` and `squares` of the same shifted activations.
            count: Counted tokens.
        """
        active = self.tensors["active"]
        one, two = sums["sum"] / count, sums["squares"] / count
        three, four = self.tensors["third"] / count, self.tensors["fourth"] / count
        variance = (two - one.square()).clamp(min=0)
        fourth = four - 4 * one * three + 6 * one.square() * two - 3 * one**4
        effective = count * variance.square() / fourth.clamp(min=torch.finfo(torch.float64).tiny)
        return UnitSupport(active.sum(0, dtype=torch.int64), (active[:-1] > 0).sum(0), effective)
