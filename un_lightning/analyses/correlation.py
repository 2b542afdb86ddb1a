"""Study one: which units of independently trained models fire together (paper sections 3 and 4).

One pass: every member runs once on a batch, its activations go into one matrix a member, and one matrix
product a pair adds up all pairs of units. Correlations, the rotation baseline and every summary come
from those sums after the pass.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.base import Analysis
from un_lightning.analyses.correlation_report import correlation_results
from un_lightning.analyses.extra_sums import ExtraSums
from un_lightning.analyses.intervals import Intervals
from un_lightning.analyses.member_sums import MemberSums
from un_lightning.config import CorrelationConfig, Gemm
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import Sink
from un_lightning.results import Results
from un_lightning.stats.buffer import ActivationBuffer
from un_lightning.stats.cross_product import CrossProduct, LayerGrams, tf32_products
from un_lightning.stats.unit_sums import UnitSums


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

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Mean activation of each unit over a few blocks, to be subtracted from all."""
        shifts = {}
        for name, units in self.units.items():
            nothing = torch.zeros(units.count, device=self.device)
            buffer = ActivationBuffer(pilot.tokens.numel(), units.widths, nothing, self.wide)
            shift = self._capture(buffer, name, pilot).sum(0) / max(pilot.count, 1)
            shifts[name] = torch.where(torch.isfinite(shift), shift, 0.0)
        return shifts

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """One sum of products a pair, sums a unit, and products within each layer for the baseline.

        Raises:
            UserError: The input type of the products needs another device.
        """
        if self.settings.gemm in (Gemm.bfloat16, Gemm.tf32) and self.device.type != "cuda":
            raise UserError(f"analysis.gemm={self.settings.gemm} needs a CUDA device: use auto or float32")
        self.shifts = dict(known)
        self.matrices: dict[str, ActivationBuffer] = {}
        self.sums = {name: UnitSums(units.count, self.device) for name, units in self.units.items()}
        self.grams = {
            name: LayerGrams(units.widths, self.device, self.wide)
            for name, units in self.units.items()
            if self.settings.layer_grams
        }
        self.products = {
            (left, right): CrossProduct(
                self.units[left].count, self.units[right].count, self.device, self.wide
            )
            for left, right in self.pairs
        }
        self.extra = ExtraSums(
            self.settings, self.units, self.pairs, self.shifts, self.device, self.wide, self.seed
        )
        self.intervals = self._intervals() if self.settings.jackknife else None
        self.statistics = {
            **{f"sums-{name}": statistic for name, statistic in self.sums.items()},
            **{f"grams-{name}": statistic for name, statistic in self.grams.items()},
            **{f"product-{left}-{right}": s for (left, right), s in self.products.items()},
            **self.extra.statistics,
            **(self.intervals.statistics() if self.intervals else {}),
        }

    def add(self, batch: Batch) -> None:
        """Run every member once, then one product a pair."""
        values: dict[str, Float[Tensor, "tokens units"]] = {}
        for name, units in self.units.items():
            if name not in self.matrices or len(self.matrices[name].storage) < batch.tokens.numel():
                self.matrices[name] = ActivationBuffer(
                    batch.tokens.numel(), units.widths, self.shifts[name], self.gemm_dtype
                )
            buffer = self.matrices[name]
            sink = self.extra.watch(name, batch, self.gemm_dtype, buffer.sink)
            values[name] = self._capture(buffer, name, batch, sink)
            self.sums[name].add(values[name])
            for layer, columns in enumerate(units.layer_slices() if name in self.grams else []):
                self.grams[name].add(layer, values[name][:, columns])
        with tf32_products(self.settings.gemm is Gemm.tf32):
            for (left, right), product in self.products.items():
                product.add(values[left], values[right])
            self.extra.add(values, batch)

    def after_batch(self) -> None:
        """Read out the sums for the intervals at the end of a group of batches."""
        if self.intervals is not None:
            self.intervals.after_batch(
                self.position, self.batches, self.counted, self.shifts, self.settings.tile
            )

    def report(self) -> Results:
        """Correlations, baselines and excess, reduced tile by tile."""
        members = {
            name: MemberSums(
                units,
                self.sums[name].moments(self.counted, self.shifts[name]),
                [self.grams[name].gram(i) for i in range(len(units.widths)) if name in self.grams],
            )
            for name, units in self.units.items()
        }
        products = {pair: statistic.tensors["product"] for pair, statistic in self.products.items()}
        return correlation_results(
            self.settings,
            self.family.reference,
            members,
            products,
            self.counted,
            self.seed,
            self.extra,
            self.intervals,
        )

    def _intervals(self) -> Intervals:
        return Intervals(
            self.sums,
            self.products,
            self.settings.jackknife,
            self.settings.candidates,
            self.global_rank,
            self.trainer.world_size,
        )

    @property
    def wide(self) -> torch.dtype:
        """Type of the accumulators."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def gemm_dtype(self) -> torch.dtype:
        """Input type of the products."""
        return torch.bfloat16 if self.settings.gemm is Gemm.bfloat16 else self.wide

    def _capture(
        self, buffer: ActivationBuffer, name: str, batch: Batch, sink: Sink | None = None
    ) -> Float[Tensor, "tokens units"]:
        self.family.models[name].run(batch.tokens, {self.settings.site: sink or buffer.sink})
        return buffer.finish(batch.skipped)
