"""All pairs of two layers on the sample, one tile: the products' sums, halves and errors."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.stats.block_sample import BlockSample, spread


ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Elements of the product that are multiplied out together, so that a group's product stays in the cache."""


class SampleTile(NamedTuple):
    """Correlations of one layer's units with another layer's, on the sample."""

    halves: tuple[Float[Tensor, "left right"], Float[Tensor, "left right"]]
    """On every other group and on those between, both in units of the whole sample's deviations."""
    correlation: Float[Tensor, "left right"]
    error: Float[Tensor, "left right"]
    """Standard error of the correlation as an estimate of the whole stream's."""


def sample_tile(left: BlockSample, right: BlockSample, rows: slice, columns: slice) -> SampleTile:
    """Multiply out one tile, group by group.

    The error is that between groups of blocks, so it needs no independence of the tokens within a block or
    of documents. To the error of the mean product comes that of the two deviations it is divided by, times
    the correlation: a sum that is not smaller than the error of the ratio, by the triangle inequality.
    Halves take groups by turns: neighbouring blocks may share a document, which is in both halves then, as
    it is in the sample and in the rest of the stream.

    Args:
        left: Sample of the row model.
        right: Sample of the column model, of the same blocks.
        rows: Units of the row model.
        columns: Units of the column model.
    """
    one, two = left.values[rows], right.values[columns]
    dtype = torch.float64 if one.dtype == torch.float64 else torch.float32
    first, second, squares = (
        torch.zeros(len(one), len(two), dtype=dtype, device=one.device) for _ in range(3)
    )
    step = max(1, ELEMENTS.get(one.device.type, 1 << 22) // len(two))
    for start in range(0, len(one), step):
        part = slice(start, start + step)
        for number, group in enumerate(left.groups):
            product = multiply(one[part, group], two[:, group])
            (second if number % 2 else first)[part] += product
            squares[part].addcmul_(product, product)
    total = first + second
    error = spread(squares, total, left)
    tokens = torch.tensor([group.stop - group.start for group in left.groups])
    counts = torch.stack([tokens[0::2].sum(), tokens[1::2].sum()])
    share = (counts / counts.sum() * left.count).tolist()
    correlation = total.div_(left.count).clamp_(-1, 1)
    scale_error = (left.variance_error[rows, None] + right.variance_error[None, columns]) / 2
    error.addcmul_(correlation.abs(), scale_error.to(dtype))
    return SampleTile((first.div_(share[0]), second.div_(share[1])), correlation, error)


def multiply(left: Float[Tensor, "left tokens"], right: Float[Tensor, "right tokens"]) -> Tensor:
    """Σ a bᵀ over tokens, in float32 at least."""
    if left.dtype in (torch.float32, torch.float64):
        return torch.mm(left, right.T)
    if left.device.type == "cpu":
        return torch.mm(left.float(), right.float().T)
    return torch.mm(left, right.T, out_dtype=torch.float32)
