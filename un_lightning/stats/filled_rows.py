"""Numbers that only one rank computes: each rank fills its rows, and the ranks add up to the whole."""

from collections.abc import Mapping

import torch
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class FilledRows(Statistic):
    """One row a neuron in every tensor, zero until it is filled.

    A row that is filled on one rank stays zero on the others, so the sum over ranks holds it as it is, NaN
    and infinities included.
    """

    def __init__(
        self, rows: int, columns: Mapping[str, tuple[tuple[int, ...], torch.dtype]], device: torch.device
    ) -> None:
        """Allocate.

        Args:
            rows: Neurons.
            columns: Shape of a row and type of each tensor.
            device: Where the tensors are.
        """
        super().__init__(
            {
                name: torch.zeros(rows, *shape, dtype=dtype, device=device)
                for name, (shape, dtype) in columns.items()
            }
        )

    def fill(self, rows: slice, values: Mapping[str, Tensor]) -> None:
        """Write the rows of some neurons.

        Raises:
            KeyError: There is no such tensor.
        """
        for name, value in values.items():
            self.tensors[name][rows] = value.to(self.tensors[name].dtype)
