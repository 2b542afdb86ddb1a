"""Labels of a token in its context that need no parser."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from un_lightning.data.loader import Batch
from un_lightning.labels.label import ContextLabels, TokenLabels, check_names, previous_tokens


class PreviousLabels:
    """A token has `previous/x` where the token before it, in the same document, has the label `x`."""

    def __init__(self, labels: TokenLabels) -> None:
        self.names = [f"previous/{name}" for name in labels.names]
        self.kinds = [f"previous/{kind}" for kind in labels.kinds]
        none = torch.zeros_like(labels.matrix[:1])
        self.matrix = torch.cat([labels.matrix, none])
        """The last row, which index -1 reaches, is that of no token."""

    def __call__(self, batch: Batch) -> Bool[Tensor, "tokens labels"]:
        """Labels of all tokens of a batch, block by block."""
        self.matrix = self.matrix.to(batch.tokens.device)
        return self.matrix[previous_tokens(batch)]


class SubsetLabels:
    """A token has `subset/x` where its block is of the subset `x`."""

    def __init__(self, subsets: Sequence[str]) -> None:
        self.names = [f"subset/{subset}" for subset in subsets]
        self.kinds = ["subset"] * len(subsets)
        check_names(self.names, self.kinds)

    def __call__(self, batch: Batch) -> Bool[Tensor, "tokens labels"]:
        """Labels of all tokens of a batch, block by block."""
        here = batch.subset[:, None] == torch.arange(len(self.names), device=batch.subset.device)
        return here.repeat_interleave(batch.tokens.shape[1], dim=0)


class PositionLabels:
    """Where a token stands in its block: one of a few ranges, and whether a document begins with it.

    Ranges double in length: `position/1` (the first behind the BOS), `position/2-3`, `position/4-7` and so
    on. `position/document_start` is the first token of a document that begins inside the block: what stands
    behind the BOS is usually the middle of a document, and is not counted.
    """

    def __init__(self, context: int) -> None:
        """Fix the ranges.

        Args:
            context: Tokens a block, with its BOS.
        """
        self.starts = [2**power for power in range(max(context - 1, 1).bit_length())]
        self.ends = [min(2 * start, context) - 1 for start in self.starts]
        spans = zip(self.starts, self.ends, strict=True)
        self.names = [
            f"position/{start}" if start >= end else f"position/{start}-{end}" for start, end in spans
        ]
        self.names.append("position/document_start")
        self.kinds = ["position"] * len(self.names)

    def __call__(self, batch: Batch) -> Bool[Tensor, "tokens labels"]:
        """Labels of all tokens of a batch, block by block."""
        blocks, context = batch.tokens.shape
        position = torch.arange(context, device=batch.tokens.device)
        inside = [
            (position >= start) & (position <= end) for start, end in zip(self.starts, self.ends, strict=True)
        ]
        begins = torch.zeros_like(batch.counted)
        begins[:, 2:] = batch.document[:, 2:] != batch.document[:, 1:-1]
        return torch.cat([torch.stack(inside, dim=1).repeat(blocks, 1), begins.reshape(-1, 1)], dim=1)


def previous_labels(labels: TokenLabels) -> ContextLabels:
    """The labels of the token before, never across documents nor from the BOS.

    A statistic that keeps sums by the id of the previous token (`label.previous_tokens`) gets the same
    without a product for every batch.
    """
    return PreviousLabels(labels)


def subset_labels(subsets: Sequence[str]) -> ContextLabels:
    """The subset of the text, such as a component of the Pile.

    Args:
        subsets: All subsets, in the order of the store (`Store.subsets`).
    """
    return SubsetLabels(subsets)


def position_labels(context: int) -> ContextLabels:
    """Ranges of positions, and the first token of a document.

    Args:
        context: Tokens a block, with its BOS.
    """
    return PositionLabels(context)
