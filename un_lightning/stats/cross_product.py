"""The sum that every correlation needs: C = Σ a bᵀ over tokens, for all units of two models."""

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.stats.statistic import Statistic


class CrossProduct(Statistic):
    """C [units of a, units of b] in float32 (float64 for float64 input), one product a batch."""

    def __init__(
        self, left: int, right: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__({"product": torch.zeros(left, right, dtype=dtype, device=device)})

    def add(self, left: Float[Tensor, "tokens left"], right: Float[Tensor, "tokens right"]) -> None:
        """Add the batch's product of shifted activations."""
        total = self.tensors["product"]
        if left.dtype == total.dtype:
            total.addmm_(left.T, right)
        else:
            total.add_(torch.mm(left.T, right, out_dtype=total.dtype))


class LayerGrams(Statistic):
    """Σ v vᵀ within each layer of one model, which the rotation baseline needs (method B.8).

    Only blocks on and above the diagonal are multiplied out; `gram` fills in the rest.
    """

    BLOCKS = 4

    def __init__(
        self, widths: tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(
            {
                f"layer{layer:03d}": torch.zeros(width, width, dtype=dtype, device=device)
                for layer, width in enumerate(widths)
            }
        )

    def add(self, layer: int, values: Float[Tensor, "tokens width"]) -> None:
        """Add one layer's shifted activations."""
        total = self.tensors[f"layer{layer:03d}"]
        step = -(-len(total) // self.BLOCKS)
        for start in range(0, len(total), step):
            rows, columns = values[:, start : start + step], values[:, start:]
            target = total[start : start + step, start:]
            if values.dtype == total.dtype:
                target.addmm_(rows.T, columns)
            else:
                target.add_(torch.mm(rows.T, columns, out_dtype=total.dtype))

    def gram(self, layer: int) -> Float[Tensor, "width width"]:
        """The whole symmetric sum of one layer."""
        upper = self.tensors[f"layer{layer:03d}"].triu()
        return upper + upper.triu(1).T
