"""What a neuron does at the tokens around its examples: found by reading the text once more."""

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from un_lightning.analyses.activations.statistics import ActivationStatistics
from un_lightning.config import ActivationsConfig
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.top_examples import NEVER


class ExampleValues(Statistic):
    """Activations of the neuron at every token of each of its examples' contexts.

    `values` is [units, examples, before + 1 + after], 0 outside the block. A unit's examples are the largest
    activations by rank and then those across its range. Every block is read once by one rank, so merging is
    adding.
    """

    def __init__(
        self, config: ActivationsConfig, units: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Allocate.

        Args:
            config: Settings of the analysis.
            units: Number of units.
            device: Where the values are.
            dtype: Their type.
        """
        self.config = config
        self.sampled = (len(config.example_quantiles) - 1) * config.examples_per_bin
        shape = units, config.top_examples + max(self.sampled, 0), config.before + 1 + config.after
        super().__init__({"values": torch.zeros(shape, dtype=dtype, device=device)})
        self.block: Tensor | None = None

    def find(self, sums: ActivationStatistics, context: int) -> None:
        """Take the examples from statistics that are merged over all ranks."""
        config, place = self.config, sums.top.place
        places = torch.full(self.tensors["values"].shape[:2], NEVER, dtype=torch.int64, device=place.device)
        places[:, : config.top_examples] = place
        if sums.sample is not None:
            _, across, _ = sums.sample.across(config.example_quantiles, config.examples_per_bin)
            places[:, config.top_examples : config.top_examples + len(across)] = across.T
        unit, example = (places != NEVER).nonzero(as_tuple=True)
        place = places[unit, example]
        self.block, order = (place // context).sort(stable=True)
        self.unit, self.example, self.position = unit[order], example[order], (place % context)[order]

    def among(self, blocks: Int[Tensor, " block"]) -> tuple[Int64[Tensor, " hits"], Int64[Tensor, " hits"]]:
        """Examples that lie in some blocks, and the index of the block of each."""
        assert self.block is not None
        first, last = (
            torch.searchsorted(self.block, blocks.contiguous(), right=side) for side in (False, True)
        )
        count = last - first
        row = torch.arange(len(blocks), device=blocks.device).repeat_interleave(count)
        within = torch.arange(len(row), device=blocks.device) - (count.cumsum(0) - count)[row]
        return first[row] + within, row

    def add(
        self,
        columns: slice,
        values: Float[Tensor, "tokens units"],
        context: int,
        hits: tuple[Int64[Tensor, " hits"], Int64[Tensor, " hits"]],
    ) -> None:
        """Fill in the contexts that lie in a batch, for some units.

        Args:
            columns: Which units.
            values: Their activations at all tokens of the batch.
            context: Tokens of a block.
            hits: What `among` found in its blocks.
        """
        index, row = hits
        unit = self.unit[index]
        own = (unit >= columns.start) & (unit < columns.stop)
        index, row, unit = index[own], row[own], unit[own]
        offset = torch.arange(-self.config.before, self.config.after + 1, device=values.device)
        position = self.position[index, None] + offset
        inside = (position >= 0) & (position < context)
        token = row[:, None] * context + position.clamp(0, context - 1)
        found = values[token, (unit - columns.start)[:, None]]
        self.tensors["values"][unit, self.example[index]] = found * inside
