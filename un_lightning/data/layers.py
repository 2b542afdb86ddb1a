"""The layers of a model as a stream, for analyses of weights: ranks share layers instead of text."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader

from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.stream import Stream, loader


@dataclass(slots=True)
class Layer:
    """One layer, by its index."""

    layer: int
    count: int = 1


class Layers(Stream):
    """Every layer once."""

    unit = "layers"

    def __init__(self, depth: int, tokens: TokenBlocks | None = None) -> None:
        """Line the layers up.

        Args:
            depth: Layers of the model.
            tokens: Text whose token frequencies the analysis asks for; None where it needs none.
        """
        super().__init__()
        self.order = [Layer(layer) for layer in range(depth)]
        self.tokens = tokens

    def prepare_data(self) -> None:
        """Make the token store if frequencies are asked for and it is missing."""
        if self.tokens is not None:
            self.tokens.prepare_data()

    def setup(self, stage: str) -> None:
        """Open the store if frequencies are asked for."""
        if self.tokens is not None:
            self.tokens.setup(stage)

    @property
    def total(self) -> int:
        """Layers of the model."""
        return len(self.order)

    def size(self, batch: Layer | None) -> int:
        """One layer."""
        return 0 if batch is None else 1

    def done(self, position: int, world: int) -> int:
        """Layers in the first `position` batches of each rank."""
        return position * world

    def pilot(self, blocks: int) -> Layer:  # noqa: ARG002
        """The first layer; weights need no look ahead."""
        return self.order[0]

    def facts(self) -> dict[str, Any]:
        """Layers, and what was read for the token frequencies."""
        read = {"tokens": 0} if self.tokens is None else self.tokens.facts()
        return {"layers": self.total, **read}

    def val_dataloader(self) -> DataLoader[Layer]:
        """Layers of this rank from `start` on."""
        assert self.trainer is not None
        own = self.order[self.trainer.global_rank :: self.trainer.world_size]
        return loader(own[self.start :])


def token_counts(blocks: TokenBlocks, vocabulary: int) -> Int64[Tensor, " vocabulary"]:
    """Count how often each token occurs among the counted tokens of a stream.

    Args:
        blocks: The stream, set up.
        vocabulary: Tokens that there are.
    """
    counts = torch.zeros(vocabulary, dtype=torch.int64)
    batches = blocks.batches(rank=0, world=1)
    for index in range(len(batches)):
        batch = batches[index]
        counts += torch.bincount(batch.tokens[batch.counted], minlength=vocabulary)
    return counts
