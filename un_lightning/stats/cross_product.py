"""The sum that every correlation needs: C = Σ a bᵀ over tokens, for all units of two models."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

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


def add_products(
    total: Float[Tensor, "layers rows columns"],
    left: Float[Tensor, "layers rows tokens"],
    right: Float[Tensor, "layers tokens columns"],
) -> None:
    """Add the product of each layer to `total` in place, as `add_product` does for one."""
    if left.dtype == total.dtype:
        total.baddbmm_(left, right)
        return
    step = max(1, MIXED_ROWS // total.shape[1])
    for layer, row in itertools.product(range(0, len(total), step), range(0, total.shape[1], MIXED_ROWS)):
        layers, rows = slice(layer, layer + step), slice(row, row + MIXED_ROWS)
        total[layers, rows].add_(torch.bmm(left[layers, rows], right[layers], out_dtype=total.dtype))


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


class Stack(NamedTuple):
    """Adjacent layers of one width, whose products are made at once."""

    first: int
    layers: int
    width: int
    column: int
    """Of the model's units, where the first layer begins."""
    starts: range
    """First row of each strip."""

    def strips(self) -> list[tuple[int, int]]:
        """First row and number of rows of each strip."""
        return [(start, min(self.starts.step, self.width - start)) for start in self.starts]

    def name(self, start: int) -> str:
        """What the strip that begins at a row is called among the tensors."""
        return f"layer{self.first:03d}-row{start:06d}"


class LayerGrams(Statistic):
    """Σ v vᵀ within each layer of one model, which the rotation baseline needs (method B.8).

    Only strips on and to the right of the diagonal are multiplied out, those of adjacent layers of one width
    in one batched product; `gram` fills in the rest.
    """

    STRIPS = 4

    def __init__(
        self, widths: tuple[int, ...], device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        """Allocate for all layers of a model, whose units follow one another; `dtype` accumulates."""
        self.widths = widths
        self.stacks: list[Stack] = []
        tensors = {}
        for width, group in itertools.groupby(range(len(widths)), key=widths.__getitem__):
            layers = list(group)
            starts = range(0, width, -(-width // self.STRIPS))
            stack = Stack(layers[0], len(layers), width, sum(widths[: layers[0]]), starts)
            self.stacks.append(stack)
            for start, rows in stack.strips():
                shape = len(layers), rows, width - start
                tensors[stack.name(start)] = torch.zeros(shape, dtype=dtype, device=device)
        super().__init__(tensors)

    def add(self, values: Float[Tensor, "tokens units"], first: int = 0, every: int = 1) -> None:
        """Add a batch's shifted activations.

        Args:
            values: Units of all layers.
            first: The first layer to add, where devices share the layers out.
            every: Of so many layers, one is added.
        """
        for stack in self.stacks:
            columns = slice(stack.column, stack.column + stack.layers * stack.width)
            layers = values[:, columns].unflatten(1, (stack.layers, stack.width)).permute(1, 2, 0)
            mine = slice((first - stack.first) % every, None, every)
            for start, rows in stack.strips():
                left = layers[mine, start : start + rows]
                add_products(self.tensors[stack.name(start)][mine], left, layers[mine, start:].mT)

    def gram(self, layer: int) -> Float[Tensor, "width width"]:
        """The whole symmetric sum of one layer."""
        stack = next(one for one in self.stacks if one.first <= layer < one.first + one.layers)
        gram = self.tensors[stack.name(0)].new_zeros(stack.width, stack.width)
        for start, rows in stack.strips():
            gram[start : start + rows, start:] = self.tensors[stack.name(start)][layer - stack.first]
        upper = gram.triu_()  # of the blocks on the diagonal both halves are there, equal but for rounding
        return upper + upper.triu(1).T
