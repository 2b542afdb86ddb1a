"""Study one without a matrix of all pairs: candidates from a sample, followed over the whole stream.

The sample's blocks are read before the pass, on rank 0, and again in their turn within it: the state of the
pass is a sum over the stream alone, so ranks and resumed runs need to know no more than the candidates.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.analyses.base import Analysis, Plan
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.screen.memory import plan_memory
from un_lightning.analyses.screen.report import screen_results
from un_lightning.analyses.screen.sample import in_turn, pack, sample_blocks, screening_side, unpack
from un_lightning.config import BaselineOf, CorrelationConfig, Gemm
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.data.stream import Stream
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.results.results import Results
from un_lightning.stats.block_sample import GROUPS, BlockSample
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.cross_product import tf32_products
from un_lightning.stats.followed_pairs import FollowedPairs
from un_lightning.stats.screening import ScreeningSide, critical_value, screen_pair
from un_lightning.stats.support import Support
from un_lightning.stats.unit_major import UnitMajorBuffer


class ScreenAnalysis(Analysis):
    """The best partners of every unit in the chosen pairs of models."""

    settings: CorrelationConfig

    def __init__(self, config: CorrelationConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        self.pairs = family.pairs(config.pairs)
        if not self.pairs:
            raise UserError(
                f"correlations need two models, but family {family.name} has only '{family.reference}'"
            )
        self.units = {name: model.units(config.site) for name, model in family.models.items()}

    def pilot(self, data: Stream) -> Any:
        """The blocks of the sample."""
        assert isinstance(data, TokenBlocks)
        self.stream_blocks = data.total // data.config.context
        self.sample_batch = data.config.batch_size
        world = self.trainer.world_size
        self.checks = sum(checks(len(data.batches(rank, world))) for rank in range(world))
        return data.pilot(sample_blocks(self.settings, data.total, data.config.context))

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Shifts, and the candidates, bounds and baselines of every pair of models.

        No more than two models' samples exist at a time: a model that comes again in a later pair, and not
        in the next one, runs over its sample once more.
        """
        if pilot.count < 2:
            raise UserError("no token of the sample is counted: choose another data.exclude")
        self._planned = plan_memory(
            self.settings,
            self.pairs,
            self.units,
            sample_tokens=pilot.tokens.numel(),
            batch_tokens=self.sample_batch * pilot.tokens.shape[1],
            kept=self.kept,
            device=self.device,
            processes=self.trainer.num_devices if self.device.type == "cpu" else 1,
        )
        blocks = len(pilot.tokens)
        critical = critical_value(self.settings.confidence, self._bounds(), min(GROUPS, blocks))
        known = {"stream": torch.tensor([blocks, self.stream_blocks, critical], dtype=torch.float64)}
        sides: dict[str, ScreeningSide] = {}
        for left, right in in_turn(self.pairs):
            sides = {name: side for name, side in sides.items() if name in (left, right)}
            for name in (left, right):
                if name not in sides:
                    if f"shift/{name}" not in known:
                        known[f"shift/{name}"] = self._shift(name, pilot)
                    sides[name] = self._side(name, pilot, known[f"shift/{name}"])
            with tf32_products(self.settings.gemm is Gemm.tf32):
                forward, backward = screen_pair(sides[left], sides[right], self.settings.candidates, critical)
            known |= pack(left, right, forward) | pack(right, left, backward)
        return known

    def plan(self, known: Mapping[str, Tensor]) -> Plan:  # noqa: ARG002
        """Once; what is taken was reckoned before the sample."""
        return self._planned

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Sums of every unit, and of the candidates' products."""
        self.shifts = {name: known[f"shift/{name}"] for name in self.units}
        self.sampled, self.streamed, critical = known["stream"].tolist()
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        self.stretch = data.stretch
        self.screened = {
            (one, two): unpack(one, two, known)
            for left, right in self.pairs
            for one, two in ((left, right), (right, left))
        }
        self.activations: dict[str, UnitMajorBuffer] = {}
        self.sums = {name: BlockSums(units.count, self.device) for name, units in self.units.items()}
        self.support = {name: Support(units.count, self.device) for name, units in self.units.items()}
        self.followed = {
            (left, right): FollowedPairs(
                self.screened[left, right], self.screened[right, left], critical, self.settings.floor
            )
            for left, right in self.pairs
        }
        self.statistics = {
            **{f"sums-{name}": statistic for name, statistic in self.sums.items()},
            **{f"support-{name}": statistic for name, statistic in self.support.items()},
            **{f"followed-{left}-{right}": s for (left, right), s in self.followed.items()},
        }

    def add(self, batch: Batch) -> None:
        """Run every member once, and multiply only the pairs that are followed."""
        values: dict[str, Float[Tensor, "units tokens"]] = {}
        for name, units in self.units.items():
            tokens = batch.tokens.numel()
            if name not in self.activations or self.activations[name].capacity < tokens:
                self.activations[name] = UnitMajorBuffer(tokens, units.widths, self.shifts[name], self.kept)
            values[name] = self._capture(self.activations[name], name, batch.tokens, batch.skipped)
            self.sums[name].add(values[name], len(batch.tokens), batch.count)
            least = self.settings.active_above - self.shifts[name]
            self.support[name].add(values[name].T, least, batch.document.flatten(), batch.counted.flatten())
        for (left, right), pairs in self.followed.items():
            pairs.add(values[left], values[right])

    def after_batch(self) -> None:
        """Once in a while, drop pairs that cannot be a unit's best any more, or those of one below the floor.

        Blocks of one stretch stay together in the order and share documents, so that a stretch is trusted no
        more than a single block.
        """
        if not is_check(self.position) or self.sampled >= self.streamed:
            return
        own = next(iter(self.sums.values())).tensors
        count, blocks = int(own["tokens"]), float(own["blocks"])
        if count == 0 or blocks >= self.streamed:
            return
        remaining = self.stretch * (1 / blocks - 1 / self.streamed)
        shrink = (remaining / (1 / self.sampled - 1 / self.streamed)) ** 0.5
        moments = {name: self.sums[name].moments(count, self.shifts[name]) for name in self.units}
        for (left, right), pairs in self.followed.items():
            pairs.drop(count, moments[left], moments[right], shrink)

    def report(self) -> Results:
        """Correlations of the candidates over the whole stream, baselines from the sample, certificates."""
        members = {
            name: MemberSums(units, self.sums[name].moments(self.counted, self.shifts[name]), [])
            for name, units in self.units.items()
        }
        effective = {name: sums.effective_blocks() for name, sums in self.sums.items()}
        support = {
            name: one.found(self.sums[name].tensors, self.counted) for name, one in self.support.items()
        }
        results = screen_results(
            self.settings,
            self.family.reference,
            members,
            self.followed,
            effective,
            self.sampled / self.streamed,
            self.counted,
            support,
        )
        results.scalars["screen/sample_blocks"] = int(self.sampled)
        return results

    @property
    def kept(self) -> torch.dtype:
        """Type of the activations that are kept for products."""
        if self.settings.gemm is Gemm.bfloat16:
            return torch.bfloat16
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def _bounds(self) -> int:
        """Bounds that must hold together for one unit, against all other models.

        Those are the upper bounds of all partners, the candidates' lower bounds, and both of each candidate
        whenever a rank drops pairs.
        """
        partners = max(units.count for units in self.units.values())
        others = max(sum(name in pair for pair in self.pairs) for name in self.units)
        return others * (partners + self.settings.candidates * (1 + 2 * self.checks))

    def _capture(
        self,
        buffer: UnitMajorBuffer,
        name: str,
        tokens: Int[Tensor, "block position"],
        skipped: Int[Tensor, " skipped"],
    ) -> Float[Tensor, "units tokens"]:
        self.family.models[name].run(tokens, {self.settings.site: buffer.sink})
        return buffer.finish(skipped)

    def _shift(self, name: str, pilot: Batch) -> Float[Tensor, " units"]:
        """Mean over a few blocks, as the exact method subtracts it."""
        tokens = pilot.tokens[: self.settings.pilot]
        counted = pilot.counted[: self.settings.pilot]
        nothing = torch.zeros(self.units[name].count, device=self.device)
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        buffer = UnitMajorBuffer(tokens.numel(), self.units[name].widths, nothing, wide)
        values = self._capture(buffer, name, tokens, (~counted).flatten().nonzero()[:, 0])
        shift = values.sum(1) / counted.sum().clamp(min=1)
        return torch.where(torch.isfinite(shift), shift, 0.0)

    def _side(self, name: str, pilot: Batch, shift: Float[Tensor, " units"]) -> ScreeningSide:
        rotated = self.settings.baseline_of is BaselineOf.all or name != self.family.reference
        sample = self._sample(name, pilot, shift)
        return screening_side(sample, self.units[name], self.settings, self.seed, rotated)

    def _sample(self, name: str, pilot: Batch, shift: Float[Tensor, " units"]) -> BlockSample:
        units, context = self.units[name], pilot.tokens.shape[1]
        values = torch.empty(units.count, pilot.tokens.numel(), dtype=self.kept, device=self.device)
        buffer = UnitMajorBuffer(self.sample_batch * context, units.widths, shift, self.kept)
        sums = BlockSums(units.count, self.device)
        for start in range(0, len(pilot.tokens), self.sample_batch):
            part = slice(start, start + self.sample_batch)
            tokens, counted = pilot.tokens[part], pilot.counted[part]
            batch = self._capture(buffer, name, tokens, (~counted).flatten().nonzero()[:, 0])
            sums.add(batch, len(tokens), int(counted.sum()))
            values[:, start * context : start * context + batch.shape[1]] = batch
        moments = sums.moments(pilot.count, shift)
        return BlockSample(values, moments, pilot.skipped, len(pilot.tokens), self.stream_blocks)


def is_check(position: int) -> bool:
    """Whether a rank may drop pairs after so many of its batches: after 4, and whenever they have doubled."""
    return position >= 4 and position & (position - 1) == 0


def checks(batches: int) -> int:
    """How often a rank with so many batches may drop pairs."""
    return max(0, batches.bit_length() - 2)
