"""Sums of every unit at each position of a block."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class ByPosition(Statistic):
    """Σx at each position, of several values of the same units."""

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

    def add(
        self,
        name: str,
        columns: slice,
        positions: Int[Tensor, " tokens"],
        values: Float[Tensor, "tokens units"],
    ) -> None:
        """Add the values of some units.

        Args:
            name: Which value.
            columns: Which units.
            positions: Position of each token.
            values: The values; a few thousand tokens are summed in their own type, those sums in float64.
        """
        total = self.tensors[name]
        part = torch.zeros(len(total), values.shape[1], dtype=values.dtype, device=values.device)
        total[:, columns] += part.index_add_(0, positions, values)

    def means(self, name: str) -> Float64[Tensor, "positions units"]:
        """Mean of a value at each position; NaN where no token was counted."""
        return self.tensors[name] / self.count[:, None]
