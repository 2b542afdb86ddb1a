"""What every head does with BOS and with all other tokens: attention, values, mean keys (method H)."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class HeadSums(Statistic):
    """Sums over tokens behind BOS, in float64, one row a layer."""

    def __init__(self, layers: int, heads: int, width: int, device: torch.device) -> None:
        wide = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)
        super().__init__(
            {
                "count": wide(layers),
                "bos": wide(layers, heads),
                "value_norm": wide(layers, heads),
                "normal": wide(layers, width),
                "inverse_scale": wide(layers),
            }
        )

    def add(
        self,
        layer: int,
        bos: Float[Tensor, "tokens heads"],
        value_norm: Float[Tensor, "tokens heads"],
        normal: Float[Tensor, "tokens d_model"],
        scale: Float[Tensor, " tokens"],
    ) -> None:
        """Add tokens of one layer.

        Args:
            layer: The layer.
            bos: Attention to BOS from the tokens.
            value_norm: ‖W_O v‖ of the tokens.
            normal: What the heads read: the residual stream with mean 0 and variance 1.
            scale: What the layer norm divided it by.
        """
        sums = self.tensors
        sums["count"][layer] += len(bos)
        sums["bos"][layer] += bos.sum(0, dtype=torch.float64)
        sums["value_norm"][layer] += value_norm.sum(0, dtype=torch.float64)
        sums["normal"][layer] += normal.sum(0, dtype=torch.float64)
        sums["inverse_scale"][layer] += (1 / scale).sum(dtype=torch.float64)

    def mean(self, name: str) -> Float64[Tensor, "layers ..."]:
        """Mean over tokens, a row a layer."""
        total, count = self.tensors[name], self.tensors["count"]
        return total / (count if total.ndim == 1 else count[:, None])
