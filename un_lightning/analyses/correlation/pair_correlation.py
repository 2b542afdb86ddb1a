"""One pair of models: from its sums to each unit's row of correlations, its baseline and its measures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from un_lightning.analyses.correlation.baselines import Sides, make_baselines
from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_measures import Measured, measure_products
from un_lightning.config import BaselineOf, CorrelationConfig, MeasureName
from un_lightning.models.units import Units
from un_lightning.stats.measures.cka import cross_norms
from un_lightning.stats.pair_sums import ModelSums, PairSums
from un_lightning.stats.row_summary import RowSummary
from un_lightning.stats.statistic import AllReduce, Statistic


MEASURE = "measure"
"""Prefix of what measures found, among the tensors of a pair."""


class View(NamedTuple):
    """One model's units against all units of the other model."""

    summary: RowSummary
    baseline: Float[Tensor, "draws units"]
    """What the largest correlation would be without shared units, for each draw."""


class PairFindings(Statistic):
    """What is kept of a pair's products, from either side; filled block of rows by block of rows.

    The products themselves are of size N², and are dropped or lie on several devices. What is kept of rows is
    complete where their block was; what is kept of columns is put together from all blocks.
    """

    def __init__(
        self,
        left: Units,
        right: Units,
        config: CorrelationConfig,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Allocate for a row model and a column model; `dtype` is that of the products."""
        self.config = config
        self.sides = [
            RowSummary(units.count, config.top_k, config.bins, device, dtype) for units in (left, right)
        ]
        self.baselines = [
            torch.full((config.draws, units.count), -torch.inf, dtype=dtype, device=device)
            for units in (left, right)
        ]
        shape = len(left.widths), len(right.widths)
        self.cross_norms = torch.zeros(shape, dtype=torch.float64, device=device)
        """Squared norms of the covariance between layers, where `cka` needs them."""
        tensors = {"cross_norms": self.cross_norms}
        for side, summary, baseline in zip("ab", self.sides, self.baselines, strict=True):
            tensors |= {f"{side}/{name}": tensor for name, tensor in summary.named().items()}
            tensors[f"{side}/baseline"] = baseline
        largest = ("best", "worst", "best_index", "worst_index", "baseline")
        super().__init__(tensors, {f"{side}/{name}": "max" for side in "ab" for name in largest})

    def take(
        self,
        sides: Sides,
        sums: PairSums,
        shuffled: Sequence[Float[Tensor, "rows right"]],
        seed: int,
    ) -> None:
        """Take what is needed from the products of some layers of the row model.

        Args:
            sides: The models.
            sums: Sums of the block.
            shuffled: Products with exchanged tokens, one for each draw of the permutation baseline.
            seed: Seed of the run.
        """
        rows, everything = sides.rows, slice(0, sides.right.units.count)
        for own in sums.tiles():
            correlation = sums.correlation(own, everything)
            place = slice(rows.start + own.start, rows.start + own.stop)
            self.sides[0].update(correlation, place, 0, sides.right.moments.valid)
            valid = sides.part.moments.valid[own]
            self.sides[1].update(correlation.T, everything, place.start, valid)
        forward, *backward = make_baselines(sides, shuffled, sums.tokens, self.config, seed)
        self.baselines[0][:, rows] = forward.largest(sums)
        for baseline in backward:
            torch.maximum(self.baselines[1], baseline.largest(sums.swapped), out=self.baselines[1])
        if MeasureName.cka in self.config.measures:
            first = sides.part.first_layer
            self.cross_norms[first : first + len(sides.part.units.widths)] = cross_norms(sums)
        if rows == slice(0, sides.left.units.count):  # these measures are refused where pairs are cut
            for side, found in zip("ab", measure_products(sums, self.config), strict=True):
                for place, values in found.named():
                    self.tensors[f"{MEASURE}/{side}/{place}"] = torch.as_tensor(values)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from saved tensors; which measures there are, they say themselves."""
        super().load({name: tensors[name] for name in self.tensors})
        self.tensors.update({name: found for name, found in tensors.items() if name.startswith(MEASURE)})

    def collect(self, reduce: AllReduce, device: int, devices: int) -> None:
        """Put together what the devices of a node found on their own rows; every rank calls this once.

        Args:
            reduce: Over all ranks, of which those of further nodes have found nothing.
            device: Which of the node's devices this one is.
            devices: How many there are.
        """
        columns = self.sides[1]
        for values, index in ((columns.best, columns.best_index), (columns.worst, columns.worst_index)):
            own = [
                values.new_full((devices, *values.shape), -torch.inf),
                index.new_full((devices, *index.shape), -1),
            ]
            for everywhere, mine in zip(own, (values, index), strict=True):
                everywhere[device] = mine
                reduce(everywhere, "max")
            both = [everywhere.transpose(0, 1).flatten(1) for everywhere in own]
            best, order = both[0].topk(values.shape[1], dim=1)
            values.copy_(best)
            index.copy_(both[1].gather(1, order))
        self.all_reduce(reduce)

    def views(self, left: MemberSums, right: MemberSums) -> tuple[View, View]:
        """The row model against the column model, and the reverse.

        A baseline is NaN where there is none: the other model has no valid unit, or it was not asked for.
        """
        found = []
        for summary, baseline, other in zip(self.sides, self.baselines, (right, left), strict=True):
            there = bool(other.moments.valid.any())
            asked = baseline is self.baselines[0] or self.config.baseline_of is BaselineOf.all
            found.append(View(summary, baseline if there and asked else torch.full_like(baseline, torch.nan)))
        return found[0], found[1]

    def measured(self) -> tuple[Measured, Measured]:
        """What the measures found that read the products themselves."""
        sides = Measured({}, {}, {}), Measured({}, {}, {})
        for name, values in sorted(self.tensors.items()):  # a file of tensors has its own order
            prefix, _, rest = name.partition("/")
            if prefix == MEASURE:
                side, _, place = rest.partition("/")
                sides["ab".index(side)].put(place, values)
        return sides


def pair_views(
    left: MemberSums,
    right: MemberSums,
    product: Float[Tensor, "left right"],
    count: int,
    config: CorrelationConfig,
    seed: int,
) -> tuple[View, View]:
    """A pair seen from both sides, from products that are there as a whole.

    Args:
        left: The row model.
        right: The column model.
        product: Σ a bᵀ of shifted activations.
        count: Counted tokens.
        config: Baseline, top k, bins and tile.
        seed: Seed of the run.

    Returns:
        The row model against the column model, and the reverse.
    """
    findings = PairFindings(left.units, right.units, config, product.device, product.dtype)
    both = [
        ModelSums(
            member.moments,
            product.new_zeros(member.units.count),
            tuple(member.units.layer_slices()),
            tuple(member.grams),
        )
        for member in (left, right)
    ]
    sums = PairSums(product, count, both[0], both[1], config.tile)
    findings.take(Sides(left, left, right, slice(0, left.units.count)), sums, (), seed)
    return findings.views(left, right)
