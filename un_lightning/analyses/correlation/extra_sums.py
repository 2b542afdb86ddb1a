"""Sums that only some settings of the correlation analysis need."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.correlation.baselines import draw_seed
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.row_blocks import RowBlock
from un_lightning.config import Baseline, CorrelationConfig, MeasureName
from un_lightning.data.loader import Batch
from un_lightning.models.frozen import Sink
from un_lightning.models.units import Units
from un_lightning.stats.co_activity import ActiveBuffer, ActiveCounts, JointCounts
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.pair_sums import CoActivity, ModelSums, PairSums
from un_lightning.stats.shuffle import shuffled_tokens
from un_lightning.stats.statistic import Statistic


class ExtraSums:
    """The permutation baseline's products, the counts behind Jaccard, and products over all layers."""

    def __init__(
        self,
        config: CorrelationConfig,
        units: Mapping[str, Units],
        shifts: Mapping[str, Float[Tensor, " _"]],
        device: torch.device,
        wide: torch.dtype,
        seed: int,
    ) -> None:
        """Make what the settings need of each model alone.

        Args:
            config: Baseline, measures and their settings.
            units: Units of each model.
            shifts: What is subtracted from each model's units.
            device: Where the sums are.
            wide: Type of the accumulators.
            seed: Seed of the run.
        """
        self.shifts = shifts
        self.config, self.units, self.device, self.wide, self.seed = config, units, device, wide, seed
        self.shuffled: dict[RowBlock, list[CrossProduct]] = {}
        self.joint: dict[RowBlock, JointCounts] = {}
        self.active: dict[str, ActiveCounts] = {}
        self.full: dict[str, LayerGrams] = {}
        self._buffers: dict[str, ActiveBuffer] = {}
        self._spare = torch.empty(0)
        if MeasureName.jaccard in config.measures:
            self.active = {name: ActiveCounts(own.count, device) for name, own in units.items()}
        if config.full_gram:
            self.full = {name: LayerGrams((own.count,), device, wide) for name, own in units.items()}

    def of_models(self) -> dict[str, Statistic]:
        """What is added up of each model alone, by name; empty with the default settings."""
        return {
            **{f"active-{name}": statistic for name, statistic in self.active.items()},
            **{f"full-{name}": statistic for name, statistic in self.full.items()},
        }

    def begin_pass(self, blocks: Sequence[RowBlock]) -> dict[str, Statistic]:
        """Make what is added up of pairs in one pass, in place of what the last one had.

        Args:
            blocks: The pass's blocks on this device.

        Returns:
            The statistics by name; empty with the default settings.
        """
        config = self.config
        heights = {one: one.rows.stop - one.rows.start for one in blocks}
        widths = {one: self.units[one.right].count for one in blocks}
        permuted = config.baseline is Baseline.permutation
        self.shuffled = {
            one: [
                CrossProduct(heights[one], widths[one], self.device, self.wide) for _ in range(config.draws)
            ]
            for one in blocks
            if permuted
        }
        self.joint = {
            one: JointCounts(heights[one], widths[one], self.device) for one in blocks if self.active
        }
        return {
            **{f"joint-{block.name}": statistic for block, statistic in self.joint.items()},
            **{
                f"shuffled{draw}-{block.name}": statistic
                for block, draws in self.shuffled.items()
                for draw, statistic in enumerate(draws)
            },
        }

    def watch(self, name: str, batch: Batch, dtype: torch.dtype, sink: Sink) -> Sink:
        """A sink that also notes which units of a model are active, where that is needed.

        Args:
            name: The model.
            batch: What the model is about to read.
            dtype: Type of the zeros and ones.
            sink: What takes the activations otherwise.
        """
        if not self.active:
            return sink
        tokens = batch.tokens.numel()
        if name not in self._buffers or len(self._buffers[name].storage) < tokens:
            layers = self.units[name].layer_slices()
            above = self.config.active_above
            self._buffers[name] = ActiveBuffer(tokens, layers, above, dtype, self.device)
        buffer = self._buffers[name]

        def both(layer: int, activation: Tensor) -> None:
            sink(layer, activation)
            buffer.sink(layer, activation)

        return both

    def add(self, values: Mapping[str, Float[Tensor, "tokens _"]], batch: Batch, first: bool) -> None:
        """Add a batch.

        Args:
            values: Shifted activations of every model that the pass reads, zero at excluded tokens.
            batch: Where they come from.
            first: Whether this is the first pass, which adds up each model alone.
        """
        active = {name: self._buffers[name].finish(batch.skipped) for name in values if name in self._buffers}
        if first:
            for name, statistic in self.full.items():
                statistic.add(values[name])
            for name, statistic in self.active.items():
                statistic.add(active[name])
        for block, statistic in self.joint.items():
            statistic.add(active[block.left][:, block.rows], active[block.right])
        for name in dict.fromkeys(block.right for block in self.shuffled):
            for draw in range(self.config.draws):
                shuffled = self._shuffle(name, draw, values[name], batch)
                for block, products in self.shuffled.items():
                    if block.right == name:
                        products[draw].add(values[block.left][:, block.rows], shuffled)

    def products(self, block: RowBlock) -> list[Float[Tensor, "rows right"]]:
        """Products of a block with exchanged tokens, one for each draw of the permutation baseline."""
        return [statistic.tensors["product"] for statistic in self.shuffled.get(block, [])]

    def pair_sums(
        self,
        block: RowBlock,
        part: MemberSums,
        right: MemberSums,
        product: Float[Tensor, "rows right"],
        count: int,
    ) -> PairSums:
        """Everything that is known of a block of rows, once the pass is over.

        Args:
            block: The block.
            part: Its layers of the row model.
            right: The column model.
            product: The block's products.
            count: Counted tokens.
        """
        activity = None
        if block in self.joint:
            left, other = (self.active[name].tensors["active"] for name in block.pair)
            activity = CoActivity(self.joint[block].tensors["together"], left[block.rows], other)
        own = self.model_sums(part)._replace(shift=self.shifts[block.left][block.rows])
        return PairSums(product, count, own, self.model_sums(right), self.config.tile, activity)

    def model_sums(self, member: MemberSums) -> ModelSums:
        """What one model contributes to its pairs."""
        name = member.units.model
        full = self.full[name].gram(0) if name in self.full else None
        layers = tuple(member.units.layer_slices())
        return ModelSums(member.moments, self.shifts[name], layers, tuple(member.grams), full)

    def _shuffle(self, name: str, draw: int, values: Tensor, batch: Batch) -> Float[Tensor, "tokens units"]:
        seed = draw_seed(self.seed, name, "tokens", draw)
        source = shuffled_tokens(batch.counted, batch.blocks, seed)
        if self._spare.shape != values.shape or self._spare.dtype != values.dtype:
            self._spare = torch.empty_like(values)
        return torch.index_select(values, 0, source, out=self._spare)
