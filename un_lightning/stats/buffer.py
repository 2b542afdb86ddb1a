"""The matrix [tokens, units] of one batch, filled straight from the hooks."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class ActivationBuffer:
    """Shifted activations of one model's units at all layers, in the input type of the matrix products.

    One allocation serves every batch. A fixed shift is subtracted (the mean of a pilot batch), so that sums
    of squares and products lose no digits to a large mean; excluded tokens are rows of zeros, which add
    nothing to any sum.
    """

    def __init__(
        self, tokens: int, widths: tuple[int, ...], shift: Float[Tensor, " units"], dtype: torch.dtype
    ) -> None:
        self.shift = shift
        self.slices = []
        start = 0
        for width in widths:
            self.slices.append(slice(start, start + width))
            start += width
        self.storage = torch.zeros(tokens, start, dtype=dtype, device=shift.device)
        self.rows = 0

    def sink(self, layer: int, activation: Float[Tensor, "batch position units"]) -> None:
        """Take one layer's activation; called by the model's hook."""
        values = activation.flatten(0, 1)
        self.rows = len(values)
        columns = self.slices[layer]
        torch.sub(values, self.shift[columns], out=self.storage[: self.rows, columns])

    def finish(self, excluded: Int[Tensor, " excluded"]) -> Float[Tensor, "tokens units"]:
        """The filled rows, those of excluded tokens set to zero.

        Args:
            excluded: Flat indices (block · context + position) of the tokens that do not count.
        """
        filled = self.storage[: self.rows]
        return filled.index_fill_(0, excluded, 0)
