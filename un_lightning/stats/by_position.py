"""Sums of every unit at each position of a block."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from un_lightning.stats.bags import Bags
from un_lightning.stats.statistic import Statistic


class ByPosition(Statistic):
    """Σx at each position, of several values of the same units.

    A batch is summed in the type of the values, batches in float64.
    """

    def __init__(self, names: Iterable[str], positions: int, units: int, device: torch.device) -> None:
        """Allocate.

        Args:
            names: Names of the values.
            positions: Tokens of a block.
            units: Number of units.
            device: Where the sums are.
        """
        sums = {name: torch.zeros(positions, units, dtype=torch.float64, device=device) for name in names}
        super().__init__({**sums, "count": torch.zeros(positions, dtype=torch.int64, device=device)})

    @property
    def count(self) -> Int64[Tensor, " positions"]:
        """Tokens counted at each position."""
        return self.tensors["count"]

    def add_tokens(self, positions: Int[Tensor, " tokens"]) -> None:
        """Count tokens, once for all units and values."""
        self.tensors["count"] += torch.bincount(positions, minlength=len(self.count))

    def add(self, name: str, columns: slice, values: Float[Tensor, "batch units"], bags: Bags) -> None:
        """Add a whole batch for some units.

        Args:
            name: Which value.
            columns: Which units.
            values: The values of all tokens of the batch.
            bags: Those tokens that count, by position.
        """
        self.tensors[name][:, columns].index_add_(0, bags.groups, bags.sums(values).double())

    def means(self, name: str) -> Float64[Tensor, "positions units"]:
        """Mean of a value at each position; NaN where no token was counted."""
        return self.tensors[name] / self.count[:, None]
