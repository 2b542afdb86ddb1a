"""Which partners of each unit are worth following, from a sample of the stream (docs/screening.md).

The matrix of all correlations never exists: a tile is one layer of one model against one layer of the
other, and of each tile only its rows' and columns' best entries, the bound of the others and the rotation
baseline's maxima are kept.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from un_lightning.stats.block_sample import BlockSample
from un_lightning.stats.candidates import Candidates
from un_lightning.stats.held_out import HeldOutMaximum
from un_lightning.stats.rotation import RotatedLayer
from un_lightning.stats.sample_products import multiply, sample_tile


class Screened(NamedTuple):
    """What the sample says about the units of one model against another model."""

    partner: Int[Tensor, "units k"]
    """The candidates, the best first; -1 where there are fewer."""
    estimate: Float[Tensor, "units k"]
    """Their correlations on the sample; -inf where there is none."""
    error: Float[Tensor, "units k"]
    """Standard errors of these."""
    rest: Float[Tensor, " units"]
    """Upper bound of the correlation with any unit that is no candidate; -inf where there is none."""
    baseline: Float[Tensor, "draws units"]
    """Largest correlation with a rotated unit, for each draw; NaN where the other model is not rotated."""


class ScreeningSide(NamedTuple):
    """One model of a pair."""

    sample: BlockSample
    layers: Sequence[slice]
    """Units of each layer."""
    rotations: Sequence[Sequence[Float[Tensor, "rotated units"]]]
    """For each layer and draw, weights of standardised units that make standardised rotated units; without
    draws where the other model has no baseline."""


def critical_value(confidence: float, bounds: int, groups: int) -> float:
    """Standard errors that all of `bounds` one-sided bounds keep together with the stated confidence.

    A union bound (Bonferroni) over Student's t: the variances come from `groups` groups.
    """
    return float(student.isf((1 - confidence) / bounds, groups - 1))


def standardised_rotations(
    matrices: Iterable[Float[Tensor, "rotated units"]], sample: BlockSample, layer: slice, standardise: bool
) -> list[Float[Tensor, "rotated units"]]:
    """Weights that make rotated units of deviation 1 from the standardised units of a layer.

    Args:
        matrices: The rotations.
        sample: Sample of the model.
        layer: Units of the layer.
        standardise: Rotate standardised units; otherwise units as they are.
    """
    values = sample.values[layer]
    valid = sample.moments.valid[layer]
    gram = multiply(values, values)
    deviation = torch.where(valid, sample.moments.deviation[layer], 0.0).to(gram.dtype)
    centre = torch.zeros_like(sample.moments.mean[layer])
    weights = []
    for matrix in matrices:
        mixed = matrix if standardise else matrix * deviation
        rotated = RotatedLayer(mixed, gram, sample.count, centre, valid)
        weights.append(rotated.matrix * rotated.scale[:, None])
    return weights


def screen_pair(
    left: ScreeningSide, right: ScreeningSide, k: int, critical: float
) -> tuple[Screened, Screened]:
    """Candidates, bounds and baseline of two models from both sides, in one walk over the tiles.

    Args:
        left: The row model.
        right: The column model, on the same sample.
        k: Candidates of each unit.
        critical: Standard errors between an estimate and its bound.
    """
    device = left.sample.values.device
    dtype = torch.float64 if left.sample.values.dtype == torch.float64 else torch.float32
    sizes = [len(side.sample.values) for side in (left, right)]
    rows, columns = (Candidates(size, k, critical, device, dtype) for size in sizes)
    forward, backward = (
        HeldOutMaximum(len(mixed.rotations[0]), size, device, dtype)
        for mixed, size in zip((right, left), sizes, strict=True)
    )
    for own, own_rotations in zip(left.layers, left.rotations, strict=True):
        for other, other_rotations in zip(right.layers, right.rotations, strict=True):
            tile = sample_tile(left.sample, right.sample, own, other)
            valid = right.sample.moments.valid[other]
            rows.update(tile.correlation, tile.error, own, other.start, valid)
            valid = left.sample.moments.valid[own]
            columns.update(
                tile.correlation.T.contiguous(), tile.error.T.contiguous(), other, own.start, valid
            )
            # A sample of the whole stream needs no estimate: either half is then the whole.
            one, two = tile.halves if left.sample.remaining else (tile.correlation, tile.correlation)
            for draw, rotation in enumerate(other_rotations):
                forward.update(draw, own, (one @ rotation.T, two @ rotation.T))
            for draw, rotation in enumerate(own_rotations):
                backward.update(draw, other, (one.T @ rotation.T, two.T @ rotation.T))
    half = left.sample.blocks / left.sample.stream_blocks / 2
    return _screened(rows, forward, half), _screened(columns, backward, half)


def _screened(candidates: Candidates, rotated: HeldOutMaximum, half: float) -> Screened:
    own = candidates.partner, candidates.estimate, candidates.error, candidates.rest
    none = torch.full_like(candidates.rest, torch.nan)[None]
    return Screened(*own, rotated.estimate(half) if len(rotated.found) else none)
