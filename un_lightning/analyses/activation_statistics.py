"""The statistics of the activations analysis, and what they take."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from un_lightning.analyses.selection import Selection
from un_lightning.config import ActivationsConfig
from un_lightning.errors import UserError
from un_lightning.stats.by_position import ByPosition
from un_lightning.stats.by_token import ByToken
from un_lightning.stats.histogram import Histogram
from un_lightning.stats.moments import Moments
from un_lightning.stats.published_bins import BINS, HIGH, LOW
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.token_sample import TokenSample
from un_lightning.stats.top_examples import TopExamples


@dataclass(frozen=True)
class ActivationStatistics:
    """Everything that one pass adds up; what was not asked for is None."""

    moments: Moments
    """Of the pre-activation, for each subset, with firing."""
    histogram: Histogram
    """Of the pre-activation, for each subset."""
    post_moments: Moments
    """Mean and variance of the post-activation."""
    positions: ByPosition
    """Sums of `pre`, `fired` and `post` at each position."""
    top: TopExamples
    by_token: ByToken | None
    sample: TokenSample | None
    published: Histogram | None
    """In the bins of the reference scripts."""

    def named(self) -> dict[str, Statistic]:
        """The statistics by name, as they are merged and saved."""
        return {name: value for name, value in vars(self).items() if value is not None}


def make_statistics(
    config: ActivationsConfig, known: Mapping[str, Tensor], selection: Selection, groups: int, context: int
) -> ActivationStatistics:
    """Allocate what a config asks for, if it fits.

    Args:
        config: Settings of the analysis.
        known: What the pilot found, on the device of the statistics.
        selection: The units.
        groups: Subsets that are kept apart.
        context: Tokens of a block.

    Raises:
        UserError: It would take more than `config.memory_gb`.
    """
    shapes = {name: value.to("meta") for name, value in known.items()}
    planned = _make(config, shapes, selection, groups, context)
    _check_memory(config, planned, selection)
    return _make(config, known, selection, groups, context)


def _make(
    config: ActivationsConfig, known: Mapping[str, Tensor], selection: Selection, groups: int, context: int
) -> ActivationStatistics:
    units, device, dtype = selection.count, known["low"].device, known["low"].dtype
    fixed = lambda value: torch.full((units,), value, dtype=dtype, device=device)
    return ActivationStatistics(
        moments=Moments(groups, units, device),
        histogram=Histogram(known["low"], known["high"], config.bins, groups),
        post_moments=Moments(1, units, device, order=2, firing=False),
        positions=ByPosition(("pre", "fired", "post"), context, units, device),
        top=TopExamples(units, config.top_examples, device, dtype),
        by_token=ByToken(len(known["tokens"]), selection.widths, device, dtype)
        if config.top_tokens
        else None,
        sample=TokenSample(known["places"], units, device, dtype) if config.examples_per_bin else None,
        published=Histogram(fixed(LOW), fixed(HIGH), BINS, right_closed=True) if config.paper else None,
    )


def _check_memory(config: ActivationsConfig, planned: ActivationStatistics, selection: Selection) -> None:
    sizes = {
        name: sum(tensor.nbytes for tensor in statistic.tensors.values()) / 1e9
        for name, statistic in planned.named().items()
    }
    total = sum(sizes.values())
    if total <= config.memory_gb:
        return
    parts = ", ".join(f"{name} {size:.3g}" for name, size in sizes.items() if size > 0.05 * total)
    raise UserError(
        f"the statistics of {selection.count:,} neurons of '{selection.model}' take {total:.3g} GB "
        f"({parts}), but analysis.memory_gb is {config.memory_gb:g}. Raise it; or "
        f"{_groups(config, selection, total)}; or ask for less: analysis.top_tokens=0, "
        f"analysis.subsets=false, fewer analysis.bins, a smaller analysis.sample"
    )


def _groups(config: ActivationsConfig, selection: Selection, total: float) -> str:
    """Runs over some of the layers that would fit; the tables of such runs are simply put together."""
    layers = list(selection.columns)
    each = int(config.memory_gb / total * len(layers))
    if each == 0:
        return "read parts of a layer by analysis.neurons"
    parts = [layers[start : start + each] for start in range(0, len(layers), each)]
    named = " and ".join(f"analysis.layers=[{','.join(map(str, part))}]" for part in parts[:4])
    return f"read the layers in {len(parts)} runs, {named}" + (" and so on" if len(parts) > 4 else "")
