"""Sums that only some settings of the correlation analysis need."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.baselines import draw_seed
from un_lightning.analyses.member_sums import MemberSums
from un_lightning.config import Baseline, CorrelationConfig, MeasureName
from un_lightning.data.loader import Batch
from un_lightning.models.frozen import Sink
from un_lightning.models.units import Units
from un_lightning.stats.co_activity import ActiveBuffer, ActiveCounts, JointCounts, co_activity
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.pair_sums import ModelSums, PairSums
from un_lightning.stats.shuffle import shuffled_tokens
from un_lightning.stats.statistic import Statistic


class ExtraSums:
    """The permutation baseline's products, the counts behind Jaccard, and products over all layers.

    Attributes:
        statistics: Everything that is added up, by name; empty with the default settings.
    """

    def __init__(
        self,
        config: CorrelationConfig,
        units: Mapping[str, Units],
        pairs: list[tuple[str, str]],
        shifts: Mapping[str, Float[Tensor, " _"]],
        device: torch.device,
        wide: torch.dtype,
        seed: int,
    ) -> None:
        """Make what the settings need.

        Args:
            config: Baseline, measures and their settings.
            units: Units of each model.
            pairs: Names of the models of each pair.
            shifts: What is subtracted from each model's units.
            device: Where the sums are.
            wide: Type of the accumulators.
            seed: Seed of the run.
        """
        self.shifts = shifts
        self.config, self.units, self.pairs, self.device, self.seed = config, units, pairs, device, seed
        self.shuffled: dict[tuple[str, str], list[CrossProduct]] = {}
        self.active: dict[str, ActiveCounts] = {}
        self.joint: dict[tuple[str, str], JointCounts] = {}
        self.full: dict[str, LayerGrams] = {}
        self._buffers: dict[str, ActiveBuffer] = {}
        self._spare = torch.empty(0)
        sizes = {pair: (units[pair[0]].count, units[pair[1]].count) for pair in pairs}
        if config.baseline is Baseline.permutation:
            self.shuffled = {
                pair: [CrossProduct(*size, device, wide) for _ in range(config.draws)]
                for pair, size in sizes.items()
            }
        if MeasureName.jaccard in config.measures:
            self.active = {name: ActiveCounts(own.count, device) for name, own in units.items()}
            self.joint = {pair: JointCounts(*size, device) for pair, size in sizes.items()}
        if config.full_gram:
            self.full = {name: LayerGrams((own.count,), device, wide) for name, own in units.items()}
        self.statistics: dict[str, Statistic] = {
            **{f"active-{name}": statistic for name, statistic in self.active.items()},
            **{f"joint-{left}-{right}": statistic for (left, right), statistic in self.joint.items()},
            **{f"full-{name}": statistic for name, statistic in self.full.items()},
            **{
                f"shuffled{draw}-{left}-{right}": statistic
                for (left, right), draws in self.shuffled.items()
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

    def add(self, values: Mapping[str, Float[Tensor, "tokens _"]], batch: Batch) -> None:
        """Add a batch.

        Args:
            values: Shifted activations of every model, zero at excluded tokens.
            batch: Where they come from.
        """
        for name, statistic in self.full.items():
            statistic.add(0, values[name])
        active = {name: buffer.finish(batch.skipped) for name, buffer in self._buffers.items()}
        for name, statistic in self.active.items():
            statistic.add(active[name])
        for (left, right), statistic in self.joint.items():
            statistic.add(active[left], active[right])
        for name in dict.fromkeys(right for _, right in self.shuffled):
            for draw in range(self.config.draws):
                shuffled = self._shuffle(name, draw, values[name], batch)
                for (left, right), products in self.shuffled.items():
                    if right == name:
                        products[draw].add(values[left], shuffled)

    def products(self, pair: tuple[str, str]) -> list[Float[Tensor, "left right"]]:
        """Products of a pair with exchanged tokens, one for each draw of the permutation baseline."""
        return [statistic.tensors["product"] for statistic in self.shuffled.get(pair, [])]

    def pair_sums(
        self,
        pair: tuple[str, str],
        members: Mapping[str, MemberSums],
        product: Float[Tensor, "left right"],
        count: int,
    ) -> PairSums:
        """Everything that measures read of a pair, once the pass is over."""
        left, right = (self._model_sums(members[name]) for name in pair)
        activity = None
        if pair in self.joint:
            activity = co_activity(self.active[pair[0]], self.active[pair[1]], self.joint[pair])
        return PairSums(product, count, left, right, self.config.tile, activity)

    def _model_sums(self, member: MemberSums) -> ModelSums:
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
