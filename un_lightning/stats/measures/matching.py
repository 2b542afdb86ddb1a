"""One-to-one matching of units: every unit is used once (method J.4; Li et al. 2015).

Where several units resemble the same unit of the other model, all of them have it as their best partner,
but only one can be matched to it: the gap between the two sums of correlations is redundancy.

Units are matched within every block of a layer of one model and a layer of the other. Then layers are
matched one to one in the same way, by the sums that their units reach, and a unit's match is the one in its
layer's partner: so no unit of either model is used twice.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from un_lightning.stats.measures.assignment import assign
from un_lightning.stats.measures.measure import Measure, Transformation, register
from un_lightning.stats.pair_sums import PairSums


DEFAULT_SIZE = 4096


class Matching(NamedTuple):
    """Matches of the row model's units in the column model, and sums over blocks of layers."""

    partner: Int[Tensor, " left"]
    """Flat index of the matched unit; -1 for units without a match."""
    corr: Float64[Tensor, " left"]
    """Correlation with it; NaN for units without a match."""
    layer: Int[Tensor, " left_layers"]
    """The layer that each layer is matched with; -1 for those that are left over."""
    matched: Float64[Tensor, "left_layers right_layers"]
    """Σ of the correlations of matched units in each block of layers."""
    largest: Float64[Tensor, "left_layers right_layers"]
    """Σ over row units of the largest correlation in the block."""
    largest_back: Float64[Tensor, "left_layers right_layers"]
    """The same over column units."""

    def swapped(self, right_units: int) -> "Matching":
        """The same matching seen from the column model, which has `right_units` units."""
        partner = torch.full((right_units,), -1, device=self.partner.device)
        corr = torch.full((right_units,), torch.nan, dtype=torch.float64, device=self.corr.device)
        layer = torch.full((self.matched.shape[1],), -1, device=self.layer.device)
        used, paired = self.partner >= 0, self.layer >= 0
        partner[self.partner[used]] = used.nonzero().flatten()
        corr[self.partner[used]] = self.corr[used]
        layer[self.layer[paired]] = paired.nonzero().flatten()
        return Matching(partner, corr, layer, self.matched.T, self.largest_back.T, self.largest.T)

    def gap(self) -> float:
        """Σ of the largest correlations minus Σ of the matched ones, over the blocks of matched layers."""
        paired = (self.layer >= 0).nonzero().flatten()
        blocks = paired, self.layer[paired]
        return float((self.largest[blocks] - self.matched[blocks]).sum())


def match_units(pair: PairSums, size: int = DEFAULT_SIZE) -> Matching:
    """Match the units of two models one to one.

    One block of two layers exists at a time.

    Args:
        pair: Sums of the pair.
        size: Widest layer that is matched exactly; wider ones are matched greedily.
    """
    left, right = pair.left.layers, pair.right.layers
    sums = torch.zeros(3, len(left), len(right), dtype=torch.float64)
    partners = {}
    for i, rows in enumerate(left):
        for j, columns in enumerate(right):
            partners[i, j], sums[:, i, j] = _match_block(pair, rows, columns, size)
    device = pair.product.device
    partner = torch.full((len(pair.product),), -1, device=device)
    corr = torch.full((len(pair.product),), torch.nan, dtype=torch.float64, device=device)
    layer = torch.full((len(left),), -1)
    for i, j in zip(*(side.tolist() for side in assign(sums[0], size)), strict=True):
        layer[i] = j
        units, matches, values = partners[i, j]
        partner[units], corr[units] = matches, values
    return Matching(partner, corr, layer, *sums)


def _match_block(
    pair: PairSums, rows: slice, columns: slice, size: int
) -> tuple[tuple[Tensor, Tensor, Tensor], Float64[Tensor, "3"]]:
    """Flat indices and correlations of the matches in a block; Σ matched, Σ largest by row and by column."""
    own = pair.left.moments.valid[rows].nonzero().flatten()
    other = pair.right.moments.valid[columns].nonzero().flatten()
    values = pair.correlation(rows, columns)
    if len(own) < len(pair.left.moments.valid[rows]) or len(other) < len(pair.right.moments.valid[columns]):
        values = values[own][:, other]
    if values.numel() == 0:
        return (own[:0], other[:0], values.new_zeros(0).double()), torch.zeros(3, dtype=torch.float64)
    first, second = assign(values, size)
    found = values[first, second].double()
    largest = [values.amax(axis).double().sum() for axis in (1, 0)]
    sums = torch.stack([found.sum(), *largest]).cpu()
    return (own[first] + rows.start, other[second] + columns.start, found), sums


def _score(pair: PairSums) -> float:
    return float(match_units(pair).corr.nanmean())


register(
    Measure(
        name="matching",
        score=_score,
        symmetric=True,
        larger_is_more_similar=True,
        invariant_to=frozenset(
            {
                Transformation.permutation,
                Transformation.isotropic_scaling,
                Transformation.scaling,
                Transformation.shift,
            }
        ),
        source="Li et al. 2015",
    )
)
