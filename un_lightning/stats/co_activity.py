"""Counts of tokens at which units are active: alone, and together with a unit of another model."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class ActiveBuffer:
    """The 0/1 matrix {v > θ} [tokens, units] of one batch, filled straight from the hooks.

    It is made from the activations themselves: after a shift and a rounding to the type of the products,
    values next to the threshold could fall on the wrong side of it.
    """

    def __init__(
        self, tokens: int, layers: list[slice], threshold: float, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.layers = layers
        self.threshold = threshold
        self.storage = torch.zeros(tokens, layers[-1].stop, dtype=dtype, device=device)
        self.rows = 0

    def sink(self, layer: int, activation: Float[Tensor, "batch position units"]) -> None:
        """Take one layer's activation; NaN is not active."""
        values = activation.flatten(0, 1)
        self.rows = len(values)
        self.storage[: self.rows, self.layers[layer]] = values > self.threshold

    def finish(self, excluded: Int[Tensor, " excluded"]) -> Float[Tensor, "tokens units"]:
        """The filled rows; nothing is active at excluded tokens."""
        return self.storage[: self.rows].index_fill_(0, excluded, 0)


class ActiveCounts(Statistic):
    """Tokens at which each unit of one model is active, in float64."""

    def __init__(self, units: int, device: torch.device) -> None:
        super().__init__({"active": torch.zeros(units, dtype=torch.float64, device=device)})

    def add(self, active: Float[Tensor, "tokens units"]) -> None:
        """Add a batch of zeros and ones."""
        self.tensors["active"] += active.sum(0, dtype=torch.float32)


class JointCounts(Statistic):
    """Tokens at which two units are active together, for all pairs of units of two models.

    Products of zeros and ones are exact in any type. The sums are 32-bit integers, because float32 stops
    counting at 2^24; they hold 2^31 tokens.
    """

    ROWS = 1024
    """Rows of a batch's product that exist before they are added."""

    def __init__(self, left: int, right: int, device: torch.device) -> None:
        super().__init__({"together": torch.zeros(left, right, dtype=torch.int32, device=device)})

    def add(self, left: Float[Tensor, "tokens left"], right: Float[Tensor, "tokens right"]) -> None:
        """Add a batch of zeros and ones."""
        total = self.tensors["together"]
        for start in range(0, len(total), self.ROWS):
            part = left[:, start : start + self.ROWS].T
            wide = part.dtype in (torch.float32, torch.float64)
            found = torch.mm(part, right) if wide else torch.mm(part, right, out_dtype=torch.float32)
            total[start : start + self.ROWS] += found.to(torch.int32)
