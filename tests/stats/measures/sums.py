"""The sums of a pair, added up as the analysis does it."""

import torch

from un_lightning.stats.co_activity import ActiveBuffer, ActiveCounts, JointCounts
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.pair_sums import CoActivity, ModelSums, PairSums
from un_lightning.stats.unit_sums import UnitSums


CPU = torch.device("cpu")


def slices(widths):
    ends = torch.tensor(widths).cumsum(0).tolist()
    return tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))


def model_sums(values, widths, full=False):
    shift = values[:20].mean(0)
    shift = torch.where(shift.isfinite(), shift, 0.0)
    shifted = values - shift
    sums, grams = UnitSums(values.shape[1], CPU), LayerGrams(widths, CPU, values.dtype)
    sums.add(shifted)
    grams.add(shifted)
    whole = LayerGrams((values.shape[1],), CPU, values.dtype)
    whole.add(shifted)
    parts = tuple(grams.gram(layer) for layer in range(len(widths)))
    moments = sums.moments(len(values), shift)
    return ModelSums(moments, shift, slices(widths), parts, whole.gram(0) if full else None), shifted


def active_set(values, widths, threshold, dtype=torch.float32):
    buffer = ActiveBuffer(len(values), list(slices(widths)), threshold, dtype, CPU)
    for layer, columns in enumerate(slices(widths)):
        buffer.sink(layer, values[None, :, columns])
    return buffer.finish(torch.zeros(0, dtype=torch.int64))


def activity(left, right, widths, threshold=0.0):
    sets = [active_set(*side, threshold) for side in zip((left, right), widths, strict=True)]
    counts = [ActiveCounts(one.shape[1], CPU) for one in sets]
    joint = JointCounts(sets[0].shape[1], sets[1].shape[1], CPU)
    for count, one in zip(counts, sets, strict=True):
        count.add(one)
    joint.add(*sets)
    return CoActivity(joint.tensors["together"], *(one.tensors["active"] for one in counts))


def pair_sums(left, right, widths_left, widths_right, tile=3, full=False, threshold=0.0):
    """Sums of activations [tokens, units], in their own type."""
    (mine, one), (other, two) = (
        model_sums(values, widths, full) for values, widths in ((left, widths_left), (right, widths_right))
    )
    product = CrossProduct(left.shape[1], right.shape[1], CPU, left.dtype)
    product.add(one, two)
    counts = activity(left, right, (widths_left, widths_right), threshold)
    return PairSums(product.tensors["product"], len(left), mine, other, tile, counts)


def of(data, **settings):
    """Sums of the fixture `activations`."""
    return pair_sums(data.left, data.right, data.widths_left, data.widths_right, **settings)


def valid(values):
    return values.double().numpy().std(0) > 0
