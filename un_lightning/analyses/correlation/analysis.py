"""Study one: which units of independently trained models fire together (paper sections 3 and 4).

One pass: every member runs once on a batch, its activations go into one matrix a member, and one matrix
product a pair adds up all pairs of units. Correlations, the rotation baseline and every summary come
from those sums after the pass. Where the products of all pairs do not fit, their rows are shared out over the
devices of a node (`split=rows`) and over several passes (`row_blocks`).
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.base import Analysis, Plan, token_blocks
from un_lightning.analyses.correlation.baselines import Sides
from un_lightning.analyses.correlation.extra_sums import ExtraSums
from un_lightning.analyses.correlation.gemm_choice import choose_gemm
from un_lightning.analyses.correlation.intervals import Intervals
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.memory import plan_memory
from un_lightning.analyses.correlation.pair_correlation import PairFindings
from un_lightning.analyses.correlation.report import correlation_results
from un_lightning.analyses.correlation.row_blocks import schedule
from un_lightning.analyses.node import Node, devices_of
from un_lightning.config import CorrelationConfig, DataConfig, Gemm, Split
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.data.stream import Stream
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import Sink
from un_lightning.results.results import Results
from un_lightning.stats.buffer import ActivationBuffer
from un_lightning.stats.cross_product import CrossProduct, LayerGrams, tf32_products
from un_lightning.stats.statistic import AllReduce, Statistic
from un_lightning.stats.support import Support
from un_lightning.stats.unit_sums import UnitSums


ALONE = ("sums-", "support-", "active-")
"""Statistics of one model that every device of a node adds up, of the same batches where these are shared."""


class CorrelationAnalysis(Analysis):
    """All pairs of units of the chosen pairs of models."""

    settings: CorrelationConfig

    def __init__(self, config: CorrelationConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        self.pairs = family.pairs(config.pairs)
        if not self.pairs:
            raise UserError(
                f"correlations need two models, but family {family.name} has only '{family.reference}'"
            )
        self.units = {name: model.units(config.site) for name, model in family.models.items()}
        self.pilot_blocks = config.pilot

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let batches end where groups do; Lightning calls this before it asks for any."""
        data: TokenBlocks = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        data.cut_groups = self.settings.jackknife

    def stream(self, config: DataConfig) -> Stream:
        """Blocks of tokens; with `split=rows` all devices of a node read the same ones."""
        stream = token_blocks(config, self.family)
        stream.shared_by_node = self.settings.split is Split.rows
        return stream

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Mean activation of each unit over a few blocks, and the input type of the products."""
        if self.settings.gemm in (Gemm.bfloat16, Gemm.tf32) and self.device.type != "cuda":
            raise UserError(f"analysis.gemm={self.settings.gemm} needs a CUDA device: use auto or float32")
        found, values = {}, {}
        for name, units in self.units.items():
            nothing = torch.zeros(units.count, device=self.device)
            buffer = ActivationBuffer(pilot.tokens.numel(), units.widths, nothing, self.wide)
            value = self._capture(buffer, name, pilot)
            shift = value.sum(0) / max(pilot.count, 1)
            found[name] = torch.where(torch.isfinite(shift), shift, 0.0)
            if name in self.pairs[0]:
                values[name] = (value - found[name]).index_fill_(0, pilot.skipped, 0)
        data: Stream = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        one, other = (values[name] for name in self.pairs[0])
        chosen = choose_gemm(self.settings, one, other, pilot.count, data.total)
        found["gemm"] = torch.tensor(list(Gemm).index(chosen))
        return found

    def plan(self, known: Mapping[str, Tensor]) -> Plan:  # noqa: ARG002
        """Once, unless the products of all pairs do not fit."""
        trainer = self.trainer
        data: TokenBlocks = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        devices = devices_of(trainer, self.settings.split)
        return plan_memory(
            self.settings,
            self.pairs,
            self.units,
            batch_tokens=data.config.batch_size * data.config.context,
            device=self.device,
            wide=self.wide,
            devices=devices,
            shares=trainer.world_size // devices,
            processes=trainer.num_devices if self.device.type == "cpu" else 1,
        )

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Sums a unit, products within each layer for the baseline, and what is kept of every pair."""
        self.gemm = list(Gemm)[int(known["gemm"])]
        self.shifts = {name: known[name] for name in self.units}
        self.node = Node.of(self.trainer, self.settings.split)
        self.schedule = schedule(self.pairs, self.units, self.passes, self.node.devices)
        self.matrices: dict[str, ActivationBuffer] = {}
        self.sums = {name: UnitSums(units.count, self.device) for name, units in self.units.items()}
        self.support = {name: Support(units.count, self.device) for name, units in self.units.items()}
        self.grams = {
            name: LayerGrams(units.widths, self.device, self.wide)
            for name, units in self.units.items()
            if name in self.settings.gram_models(self.pairs)
        }
        self.extra = ExtraSums(self.settings, self.units, self.shifts, self.device, self.wide, self.seed)
        self.findings = {
            (left, right): PairFindings(
                self.units[left], self.units[right], self.settings, self.device, self.wide
            )
            for left, right in self.pairs
        }
        every = [block for one in self.schedule for blocks in one for block in blocks]
        groups, candidates = self.settings.jackknife, self.settings.candidates
        data: TokenBlocks = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        node = self.node
        ends = data.batches(node.share, node.shares).ends
        self.intervals = (
            Intervals(self.sums, self.units, every, groups, candidates, node.share, node.shares, ends)
            if groups
            else None
        )

    def begin_pass(self) -> None:
        """One sum of products for each block of rows; each model's own sums belong to the first pass."""
        mine = self.schedule[self.current][self.node.device]
        self.products = {
            block: CrossProduct(
                block.rows.stop - block.rows.start, self.units[block.right].count, self.device, self.wide
            )
            for block in mine
        }
        first = self.current == 0
        self.reads = (
            list(self.units)
            if first
            else [name for name in self.units if any(name in block.pair for block in mine)]
        )
        self.of_blocks: dict[str, Statistic] = {
            **{f"product-{block.name}": product for block, product in self.products.items()},
            **self.extra.begin_pass(mine),
        }
        of_models: dict[str, Statistic] = {
            **{f"sums-{name}": statistic for name, statistic in self.sums.items()},
            **{f"support-{name}": statistic for name, statistic in self.support.items()},
            **{f"grams-{name}": statistic for name, statistic in self.grams.items()},
            **self.extra.of_models(),
            **(self.intervals.of_models() if self.intervals else {}),
        }
        readings = [
            self.intervals.of_blocks(block for blocks in one for block in blocks) if self.intervals else {}
            for one in self.schedule
        ]
        self.statistics = {**self.of_blocks, **readings[self.current], **(of_models if first else {})}
        self.finished = {
            **{f"findings-{left}-{right}": found for (left, right), found in self.findings.items()},
            **{name: one for part in readings for name, one in part.items()},
            **of_models,
        }
        self.finished = {name: one for name, one in self.finished.items() if name not in self.statistics}

    def add(self, batch: Batch) -> None:
        """Run every member once, then one product a block."""
        values: dict[str, Float[Tensor, "tokens units"]] = {}
        first = self.current == 0
        for name in self.reads:
            values[name] = self._read(name, batch)
            if first:
                self._add_alone(name, values[name], batch)
        with tf32_products(self.gemm is Gemm.tf32):
            for block, product in self.products.items():
                product.add(values[block.left][:, block.rows], values[block.right])
            self.extra.add(values, batch, first)

    def after_batch(self) -> None:
        """Read out the sums for the intervals at the end of a group of batches."""
        if self.intervals is not None:
            self.intervals.after_batch(
                self.position,
                self.counted,
                self.products,
                self.shifts,
                self.settings.tile,
                self.current == 0,
            )

    def glance(self) -> dict[str, float]:
        """Largest correlations of this rank's row units at the end of the last group of batches."""
        return {} if self.intervals is None else self.intervals.glance()

    def merge(self, name: str, reduce: AllReduce) -> None:
        """Devices that read the same batches add up a model's sums once, and keep their own rows."""
        if name in self.of_blocks:
            self.statistics[name].all_reduce(self.node.among_shares(reduce))
            return
        if self.node.device > 0 and (name.startswith(ALONE) or name in self._unit_readings()):
            for tensor in self.statistics[name].tensors.values():
                tensor.zero_()
        self.statistics[name].all_reduce(reduce)

    def end_pass(self) -> None:
        """Take from the products what is needed of them, where they are, and let them go."""
        self.matrices.clear()
        if self.node.reports:
            names = dict.fromkeys(name for block in self.products for name in block.pair)
            members = {name: self._member(name) for name in names}
            for block, product in self.products.items():
                left, right = (members[name] for name in block.pair)
                sides = Sides(left, left.part(block.layers), right, block.rows)
                sums = self.extra.pair_sums(
                    block, sides.part, right, product.tensors["product"], self.counted
                )
                self.findings[block.pair].take(sides, sums, self.extra.products(block), self.seed)
        last = self.current + 1 == self.passes
        if last and self.node.devices > 1:
            reduce = lambda tensor, operation: self.trainer.strategy.reduce(tensor, reduce_op=operation)
            for pair in self.pairs:
                self.findings[pair].collect(reduce, self.node.device, self.node.devices)
        if not last:
            self.products, self.statistics, self.of_blocks = {}, {}, {}

    def report(self) -> Results:
        """Tables and figures from what was kept of every pair."""
        members = {name: self._member(name) for name in self.units}
        sums = {name: self.extra.model_sums(member) for name, member in members.items()}
        support = {
            name: one.found(self.sums[name].tensors, self.counted) for name, one in self.support.items()
        }
        results = correlation_results(
            self.settings,
            self.family.reference,
            members,
            self.findings,
            self.counted,
            sums,
            self.intervals,
            support,
        )
        results.scalars |= {"gemm": str(self.gemm), "passes": self.passes}
        return results

    def _add_alone(self, name: str, values: Float[Tensor, "tokens units"], batch: Batch) -> None:
        """Add to what a model has without the others."""
        self.sums[name].add(values)
        least = self.settings.active_above - self.shifts[name]
        self.support[name].add(values, least, batch.document.flatten(), batch.counted.flatten())
        if name in self.grams:
            with tf32_products(self.gemm is Gemm.tf32):
                self.grams[name].add(values, self.node.device, self.node.devices)

    def _unit_readings(self) -> dict[str, Statistic]:
        return self.intervals.of_models() if self.intervals else {}

    def _member(self, name: str) -> MemberSums:
        units, grams = self.units[name], self.grams.get(name)
        return MemberSums(
            units,
            self.sums[name].moments(self.counted, self.shifts[name]),
            [grams.gram(layer) for layer in range(len(units.widths))] if grams else [],
        )

    @property
    def wide(self) -> torch.dtype:
        """Type of the accumulators."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def gemm_dtype(self) -> torch.dtype:
        """Input type of the products."""
        return torch.bfloat16 if self.gemm is Gemm.bfloat16 else self.wide

    def _read(self, name: str, batch: Batch) -> Float[Tensor, "tokens units"]:
        """One model's shifted activations, in a matrix that is used again for every batch."""
        if name not in self.matrices or len(self.matrices[name].storage) < batch.tokens.numel():
            self.matrices[name] = ActivationBuffer(
                batch.tokens.numel(), self.units[name].widths, self.shifts[name], self.gemm_dtype
            )
        buffer = self.matrices[name]
        sink = self.extra.watch(name, batch, self.gemm_dtype, buffer.sink)
        return self._capture(buffer, name, batch, sink)

    def _capture(
        self, buffer: ActivationBuffer, name: str, batch: Batch, sink: Sink | None = None
    ) -> Float[Tensor, "tokens units"]:
        self.family.models[name].run(batch.tokens, {self.settings.site: sink or buffer.sink})
        return buffer.finish(batch.skipped)
