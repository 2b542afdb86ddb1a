"""The matrix [units, tokens] of one batch: a unit's tokens lie side by side, as dot products like it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class UnitMajorBuffer:
    """Shifted activations of one model's units at all layers, transposed as they come from the hooks.

    The same as `ActivationBuffer` otherwise: a fixed shift is subtracted, excluded tokens are zeros, and one
    allocation serves every batch.
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
        self.units = start
        self.capacity = tokens
        self._storage = torch.zeros(start * tokens, dtype=dtype, device=shift.device)
        self._values = self._storage.view(start, tokens)

    def sink(self, layer: int, activation: Float[Tensor, "batch position units"]) -> None:
        """Take one layer's activation; called by the model's hook."""
        values = activation.flatten(0, 1)
        if self._values.shape[1] != len(values):  # a smaller batch is contiguous, too
            self._values = self._storage[: self.units * len(values)].view(self.units, len(values))
        columns = self.slices[layer]
        self._values[columns].copy_(values.T).sub_(self.shift[columns, None])

    def finish(self, excluded: Int[Tensor, " excluded"]) -> Float[Tensor, "units tokens"]:
        """What was taken, with zeros for excluded tokens.

        Args:
            excluded: Flat indices (block · context + position) of the tokens that do not count.
        """
        return self._values.index_fill_(1, excluded, 0)
