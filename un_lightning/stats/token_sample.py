"""Every unit's value at the same few tokens, drawn before the pass."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


_UNITS = 4096
"""Units that are sorted at a time."""


class TokenSample(Statistic):
    """Values at chosen tokens, each in a slot of its own.

    Because the tokens are chosen by their places before the pass, the sample depends neither on the order of
    the tokens nor on how they are split, and merging over ranks is adding: each slot is filled once.
    """

    def __init__(
        self, places: Int64[Tensor, " slots"], units: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Allocate.

        Args:
            places: Places of the chosen tokens, ascending.
            units: Number of units.
            device: Where the sample is.
            dtype: Type of the values that will be added.
        """
        self.places = places
        super().__init__(
            {
                "values": torch.zeros(len(places), units, dtype=dtype, device=device),
                "filled": torch.zeros(len(places), dtype=torch.int64, device=device),
            }
        )

    def find(self, places: Int[Tensor, " tokens"]) -> tuple[Int[Tensor, " hits"], Int[Tensor, " hits"]]:
        """Which of some tokens are in the sample: their indices, and their slots."""
        slots = torch.searchsorted(self.places, places.contiguous()).clamp(max=len(self.places) - 1)
        hits = (self.places[slots] == places).nonzero().squeeze(1)
        return hits, slots[hits]

    def add_tokens(self, slots: Int[Tensor, " hits"]) -> None:
        """Note that slots are filled, once for all units."""
        self.tensors["filled"][slots] += 1

    def add(self, columns: slice, values: Float[Tensor, "hits units"], slots: Int[Tensor, " hits"]) -> None:
        """Fill slots for some units.

        Args:
            columns: Which units.
            values: Their values at the tokens that are in the sample.
            slots: The tokens' slots.
        """
        self.tensors["values"][slots, columns] = values

    def across(
        self, edges: Sequence[float], per_bin: int
    ) -> tuple[Float[Tensor, "examples units"], Int[Tensor, "examples units"], Float[Tensor, " examples"]]:
        """Tokens across each unit's range: the same number from each bin between two quantiles.

        Within a bin they are evenly spaced in the unit's order of the sample; of equal values the one with
        the smallest place comes first.

        Args:
            edges: Rising quantiles in [0, 1].
            per_bin: Tokens of each bin.

        Returns:
            Values, places, and quantile of each in the sample, from the lowest to the highest.
        """
        filled = self.tensors["filled"] > 0
        values, places = self.tensors["values"][filled], self.places[filled]
        count = len(places)
        spots = [
            low + (high - low) * (step + 0.5) / per_bin
            for low, high in zip(edges, edges[1:], strict=False)
            for step in range(per_bin)
        ]
        ranks = torch.tensor(sorted({min(int(spot * count), count - 1) for spot in spots if count}))
        ranks = ranks.to(values.device, torch.int64)
        found = []
        for part in values.split(_UNITS, dim=1):
            ordered, order = part.T.contiguous().sort(dim=1, stable=True)
            found.append((ordered[:, ranks].T, places[order[:, ranks]].T))
        chosen, where = (torch.cat(pieces, dim=1) for pieces in zip(*found, strict=True))
        return chosen, where, (ranks + 0.5) / max(count, 1)
