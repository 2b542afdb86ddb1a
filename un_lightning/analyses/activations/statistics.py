"""The statistics of the activations analysis, and what they take."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from un_lightning.analyses.base import Plan
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
from un_lightning.stats.token_tops import TokenTops
from un_lightning.stats.top_examples import TopExamples


@dataclass(frozen=True)
class ActivationStatistics:
    """Everything that is added up; what was not asked for is None."""

    moments: Moments
    """Of the pre-activation, for each subset, with firing."""
    histogram: Histogram
    """Of the pre-activation, for each subset."""
    post_moments: Moments
    """Mean and variance of the post-activation."""
    positions: ByPosition
    """Sums of `pre`, `fired` and `post` at each position."""
    top: TopExamples
    tokens: TokenTops | None
    """Results of the sums by token, which are kept beside all this for a few layers at a time."""
    sample: TokenSample | None
    published: Histogram | None
    """In the bins of the reference scripts."""

    def named(self) -> dict[str, Statistic]:
        """The statistics by name, as they are merged and saved."""
        return {name: value for name, value in vars(self).items() if value is not None}


def make_statistics(
    config: ActivationsConfig, known: Mapping[str, Tensor], selection: Selection, groups: int, context: int
) -> ActivationStatistics:
    """Allocate what a config asks for.

    Args:
        config: Settings of the analysis.
        known: What the pilot found, on the device of the statistics.
        selection: The units.
        groups: Subsets that are kept apart.
        context: Tokens of a block.
    """
    units, device, dtype = selection.count, known["low"].device, known["low"].dtype
    fixed = lambda value: torch.full((units,), value, dtype=dtype, device=device)
    rows = len(known["tokens"])
    return ActivationStatistics(
        moments=Moments(groups, units, device),
        histogram=Histogram(known["low"], known["high"], config.bins, groups),
        post_moments=Moments(1, units, device, order=2, firing=False),
        positions=ByPosition(("pre", "fired", "post"), context, units, device),
        top=TopExamples(units, config.top_examples, device, dtype),
        tokens=TokenTops(rows, units, config.top_tokens, device, dtype) if config.top_tokens else None,
        sample=TokenSample(known["places"], units, device, dtype) if config.examples_per_bin else None,
        published=Histogram(fixed(LOW), fixed(HIGH), BINS, right_closed=True) if config.paper else None,
    )


def layer_groups(selection: Selection, passes: int) -> list[list[int]]:
    """Layers whose sums by token are kept in each pass, as even as whole layers allow."""
    layers = list(selection.columns)
    bounds = [len(layers) * index // passes for index in range(passes + 1)]
    return [layers[start:stop] for start, stop in pairwise(bounds)]


def plan_memory(
    config: ActivationsConfig, known: Mapping[str, Tensor], selection: Selection, groups: int, context: int
) -> Plan:
    """The fewest passes over the text in which no more than `config.memory_gb` is taken at a time.

    Args:
        config: Settings of the analysis.
        known: What the pilot found.
        selection: The units.
        groups: Subsets that are kept apart.
        context: Tokens of a block.

    Raises:
        UserError: Not even the sums by token of a single layer fit beside the rest.
    """
    shapes = {name: value.to("meta") for name, value in known.items()}
    planned = make_statistics(config, shapes, selection, groups, context).named()
    sizes = {name: one.bytes / 1e9 for name, one in planned.items()}
    layer_sizes = dict.fromkeys(selection.columns, 0.0)
    if config.top_tokens:
        for layer, width in zip(selection.columns, selection.widths, strict=True):
            one = ByToken(len(known["tokens"]), [width], torch.device("meta"), shapes["low"].dtype)
            layer_sizes[layer] = one.bytes / 1e9
    room = config.memory_gb - sum(sizes.values())
    for passes in range(1, len(layer_sizes) + 1):
        largest = max(sum(layer_sizes[one] for one in group) for group in layer_groups(selection, passes))
        if largest <= room:
            return Plan(passes, int(1e9 * (sum(sizes.values()) + largest)))
    sizes["by token"] = sum(layer_sizes.values())
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {size:.3g}" for name, size in sizes.items() if size > 0.05 * total)
    raise UserError(
        f"the statistics of {selection.count:,} neurons of '{selection.model}' take {total:.3g} GB "
        f"({parts}), and analysis.memory_gb={config.memory_gb:g} does not hold the sums by token of one "
        "layer beside the rest. Raise it; or read fewer neurons by analysis.neurons or analysis.layers; or "
        "ask for less: analysis.top_tokens=0, analysis.subsets=false, fewer analysis.bins, a smaller "
        "analysis.sample"
    )
