"""The sum that every correlation needs: C = Σ a bᵀ over tokens, for all units of two models."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.config import Gemm
from un_lightning.stats.statistic import Statistic


MIXED_ROWS = 4096
"""Rows of a product that exist at a time where its input type is not the accumulator's."""


def add_product(
    total: Float[Tensor, "left right"],
    left: Float[Tensor, "tokens left"],
    right: Float[Tensor, "tokens right"],
) -> None:
    """Add leftᵀ right to `total` in place, accumulating in the type of `total`.

    Inputs of the accumulator's type take one fused multiply-add. bfloat16 inputs go by blocks of rows, so
    that no second matrix of the accumulator's size is ever made; that path needs CUDA.
    """
    if left.dtype == total.dtype:
        total.addmm_(left.T, right)
        return
    for rows in range(0, len(total), MIXED_ROWS):
        part = slice(rows, rows + MIXED_ROWS)
        total[part].add_(torch.mm(left[:, part].T, right, out_dtype=total.dtype))


def round_to(gemm: Gemm, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Values as a matrix product sees them whose input type is `gemm`, in their own type.

    TF32 keeps ten bits of the fraction; the tensor cores round to the nearest.
    """
    if gemm is Gemm.bfloat16:
        return values.bfloat16().to(values.dtype)
    if gemm is Gemm.tf32:
        bits = values.float().view(torch.int32)
        return ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32).to(values.dtype)
    return values


@contextmanager
def tf32_products(enabled: bool) -> Iterator[None]:
    """Let CUDA round float32 inputs of products to TF32 inside the block, and nowhere else."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = enabled or before
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class CrossProduct(Statistic):
    """C [units of a, units of b] in float32 (float64 for float64 input), one product a batch."""

    def __init__(
        self, left: int, right: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__({"product": torch.zeros(left, right, dtype=dtype, device=device)})

    def add(self, left: Float[Tensor, "tokens left"], right: Float[Tensor, "tokens right"]) -> None:
        """Add the batch's product of shifted activations."""
        add_product(self.tensors["product"], left, right)


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
            add_product(total[start : start + step, start:], rows, columns)

    def gram(self, layer: int) -> Float[Tensor, "width width"]:
        """The whole symmetric sum of one layer."""
        upper = self.tensors[f"layer{layer:03d}"].triu()
        return upper + upper.triu(1).T
