"""Sums of every unit, and how evenly its activity is spread over the blocks of the stream."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from un_lightning.stats.statistic import Statistic
from un_lightning.stats.unit_sums import UnitMoments, moments_of_sums


class BlockSums(Statistic):
    """Σv and Σv² over tokens and Σ(Σv²)² over blocks, of shifted activations, in float64."""

    CACHED, PARALLEL = 1 << 18, 1 << 26
    """Elements squared at a time: few on the CPU, so that the squares stay in the cache."""

    def __init__(self, units: int, device: torch.device) -> None:
        zeros = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)
        names = ("sum", "squares", "energy")
        super().__init__({name: zeros(units) for name in names} | {"tokens": zeros(1), "blocks": zeros(1)})

    def add(self, values: Float[Tensor, "units tokens"], blocks: int, count: int) -> None:
        """Add a batch.

        Args:
            values: Shifted activations, block after block; excluded tokens are zeros.
            blocks: Blocks of the batch, all equally long.
            count: Counted tokens of the batch.
        """
        dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
        elements = self.CACHED if values.device.type == "cpu" else self.PARALLEL
        step = max(1, elements // values.shape[1])
        for start in range(0, len(values), step):
            part = values[start : start + step].to(dtype)
            squares = part.square().view(len(part), blocks, -1).sum(2).double()
            self.tensors["sum"][start : start + step] += part.sum(1)
            self.tensors["squares"][start : start + step] += squares.sum(1)
            self.tensors["energy"][start : start + step] += squares.square().sum(1)
        self.tensors["tokens"] += count
        self.tensors["blocks"] += blocks

    def moments(self, count: int, shift: Float[Tensor, " units"]) -> UnitMoments:
        """Mean and deviation over `count` tokens.

        Args:
            count: Counted tokens.
            shift: What was subtracted from each unit before it was added.
        """
        return moments_of_sums(self.tensors["sum"], self.tensors["squares"], count, shift)

    def effective_blocks(self) -> Float64[Tensor, " units"]:
        """Number of blocks that carry a unit's activity: (Σq)² / Σq² of its blocks' energies q = Σv²."""
        return self.tensors["squares"].square() / self.tensors["energy"].clamp(min=1e-300)
