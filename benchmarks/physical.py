"""What no correlation pass can do without, and the most that the device can do."""

from typing import Any

import torch
from clock import Clock
from random_models import plain_modules
from torch import Tensor

from un_lightning.config import Gemm, Site
from un_lightning.data.loader import Batch
from un_lightning.models.family import Family
from un_lightning.stats.cross_product import MIXED_ROWS, tf32_products


SIDES = {"cpu": (2048, 4096), "cuda": (4096, 8192, 12288, 16384)}
"""Square matrices that are tried for the device's peak."""
REPEATS = 3


class BareForwards:
    """Each model's trunk once, as transformers builds and runs it, for nothing."""

    def __init__(self, family: Family) -> None:
        self.modules = plain_modules(family)

    @torch.no_grad()
    def run(self, batch: Batch) -> None:
        """One batch through all models."""
        for module in self.modules.values():
            trunk: Any = module.base_model
            trunk(input_ids=batch.tokens, use_cache=False)


class Products:
    """One product a pair at `torch.mm`'s own rate at that shape."""

    def __init__(self, family: Family, tokens: int, gemm: Gemm, device: torch.device) -> None:
        self.family, self.gemm = family, gemm
        dtype = torch.bfloat16 if gemm is Gemm.bfloat16 else torch.float32
        self.values = {
            name: torch.randn(tokens, model.units(Site.mlp_post).count, device=device).to(dtype)
            for name, model in family.models.items()
        }
        left = self.values[family.reference]
        self.strip = torch.empty(min(MIXED_ROWS, left.shape[1]), left.shape[1], device=device)

    def multiply(self) -> None:
        """One product a pair, whose rows are written and forgotten: there is no accumulator."""
        left = self.values[self.family.reference]
        with tf32_products(self.gemm is Gemm.tf32):
            for name, right in self.values.items():
                if name != self.family.reference:
                    for start in range(0, left.shape[1], MIXED_ROWS):
                        self._product(left[:, start : start + MIXED_ROWS].T, right)

    def _product(self, left: Tensor, right: Tensor) -> None:
        if left.dtype == self.strip.dtype:
            torch.mm(left, right, out=self.strip[: len(left)])
        else:
            torch.mm(left, right, out_dtype=self.strip.dtype)


class Peak:
    """`torch.mm` at the square shape at which the device multiplies fastest, of the large ones that fit."""

    def __init__(self, gemm: Gemm, device: torch.device) -> None:
        """Try the shapes.

        Args:
            gemm: Input type of the product.
            device: What multiplies.
        """
        self.gemm, clock, best = gemm, Clock(device), 0.0
        self.dtype = torch.bfloat16 if gemm is Gemm.bfloat16 else torch.float32
        for side in SIDES[device.type]:
            try:
                self.matrices = [torch.randn(side, side, device=device).to(self.dtype) for _ in range(2)]
                seconds = [clock.once(self.multiply) for _ in range(1 + REPEATS)]
            except torch.OutOfMemoryError:
                break
            rate = 2 * side**3 / min(seconds[1:])
            if rate > best:
                best, self.side = rate, side
        self.matrices = [torch.randn(self.side, self.side, device=device).to(self.dtype) for _ in range(2)]

    @property
    def work(self) -> int:
        """Multiplications and additions of one product."""
        return 2 * self.side**3

    def multiply(self) -> None:
        """One product."""
        with tf32_products(self.gemm is Gemm.tf32):
            torch.mm(*self.matrices)
