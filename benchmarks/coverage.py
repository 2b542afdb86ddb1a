"""How often 95 % intervals of a correlation hold, for simulated documents and for real ones.

    python benchmarks/coverage.py [--quick] [--save benchmarks/results]

* simulated: intervals of 20 groups that hold the true correlation. Half of a unit's variance is common to all
  tokens of a document; lengths of documents are geometric, or one of them has a tenth of all tokens.
* halves: the documents of a text (`--source`) are split at random into two halves, many times. The
  correlations of a unit of un_tiny/a and its partner in b differ between the halves by no more than their
  errors say. Partners are chosen on other documents.

`as if independent` is the same with the error that independent tokens would have. `error ratio` is the
median, over units, of the error from groups of documents over that one. The last line is one JSON object.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from keep import Ratio, arguments, conclude, on_threads
from numpy import ndarray
from scipy.stats import t as student
from torch import Tensor

from un_lightning.analyses.correlation.intervals import correlation_interval
from un_lightning.api.load import load_family
from un_lightning.config import DataConfig, DataSource, Site
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.data.stretches import Order, group_numbers
from un_lightning.stats.jackknife import GroupSums, standard_error


GROUPS, CONFIDENCE, CONTEXT = 20, 0.95, 127
CHOOSING = 0.1
"""Share of the text on which partners are chosen; intervals are made on the rest."""


class Estimates(NamedTuple):
    """Correlations of some pairs, and their errors."""

    corr: Float64[ndarray, " pairs"]
    stderr: Float64[ndarray, " pairs"]
    independent: Float64[ndarray, " pairs"]
    """Errors that independent tokens would have."""
    degrees: int


class Text(NamedTuple):
    """What is known of some pairs of units over a text."""

    sums: GroupSums
    """Of each stretch of whole documents."""
    blocks: Int64[ndarray, " stretches"]
    facts: dict[str, float]


def estimates(sums: GroupSums, blocks: Int64[ndarray, " stretches"]) -> Estimates:
    """Make groups of stretches of documents and leave out one at a time, as the analysis does.

    Args:
        sums: Of each stretch.
        blocks: Length of each, by which groups are balanced.
    """
    starts = np.cumsum(blocks) - blocks
    order = Order(np.arange(blocks.sum()), np.repeat(np.arange(len(blocks)), blocks))
    group = torch.from_numpy(group_numbers(order, GROUPS)[starts])
    count = int(group[-1]) + 1
    groups = GroupSums(*(part.new_zeros(count, *part.shape[1:]).index_add_(0, group, part) for part in sums))
    corr = groups.total().correlation()[0]
    error = standard_error(corr, groups.without_each().correlation(), groups.tokens)
    independent = (1 - corr**2) / groups.tokens.sum().sqrt()
    return Estimates(corr.numpy(), error.numpy(), independent.numpy(), count - 1)


def simulated(documents: int, rho: float, long: bool, pairs: int, seed: int) -> float:
    """Share of the intervals that hold the true correlation."""
    generator = np.random.default_rng(seed)
    lengths = generator.geometric(1 / 8, documents)
    if long:
        lengths[documents // 2] = lengths.sum() // 9

    def draw() -> Float64[ndarray, "tokens pairs"]:
        common = np.repeat(generator.normal(size=(documents, pairs)), lengths, axis=0)
        return (common + generator.normal(size=common.shape)) / np.sqrt(2)

    left = draw()
    right = rho * left + np.sqrt(1 - rho**2) * draw()
    add = lambda values: torch.from_numpy(np.add.reduceat(values, np.cumsum(lengths) - lengths))
    parts = (np.ones(len(left)), left, right, left**2, right**2, left * right)
    found = estimates(GroupSums(*map(add, parts)), lengths)
    half = student.ppf(0.5 + CONFIDENCE / 2, found.degrees) * found.stderr
    low, high = correlation_interval(found.corr, half)
    return float(np.mean((low <= rho) & (rho <= high)))


def read_text(source: str, tokens: int) -> Text:
    """Read un_tiny/a and b over a text."""
    family = load_family("un_tiny", members=["a", "b"])
    config = DataConfig(source=DataSource(source), context=CONTEXT, tokens=tokens, batch_size=32)
    stream = TokenBlocks(config, family.tokenizer)  # pyright: ignore[reportArgumentType]
    stream.setup("validate")
    batches = stream.batches(0, 1)

    def values(batch: Batch) -> list[Tensor]:
        found = family.capture(batch.tokens, Site.mlp_post).values()
        return [torch.cat(layers, dim=2) * batch.counted[:, :, None] for layers in found]

    choosing = int(CHOOSING * len(batches))
    chosen = [[part.flatten(0, 1) for part in values(batches[index])] for index in range(choosing)]
    left, right = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    scaled = [(side - side.mean(0)) / side.std(0) for side in (left, right)]
    partner = (scaled[0].T @ scaled[1]).nan_to_num(-1).argmax(1)

    stretch = np.zeros(stream.store.blocks, dtype=np.int64)
    stretch[stream.order] = stream.reading.stretch
    first = int(stretch[batches[choosing - 1].blocks[-1]]) + 1  # the stretch that is cut is left out
    size = int(stretch.max()) + 1 - first
    shape = (size, left.shape[1])
    zeros = lambda *shape: torch.zeros(shape, dtype=torch.float64)
    sums = GroupSums(zeros(size), *(zeros(*shape) for _ in GroupSums._fields[1:]))
    for index in range(choosing, len(batches)):
        batch = batches[index]
        where = torch.from_numpy(stretch[batch.blocks.numpy()]) - first
        mine, other = (part.double()[where >= 0] for part in values(batch))
        counted, other, where = batch.counted[where >= 0], other[:, :, partner], where[where >= 0]
        parts = (counted.double(), mine, other, mine**2, other**2, mine * other)
        for total, part in zip(sums, parts, strict=True):
            total.index_add_(0, where, part.sum(1))
    own = stream.reading.stretch
    blocks = np.bincount(own[own >= first] - first, minlength=size)
    facts = {"documents": stream.documents, "effective_documents": stream.effective_documents}
    return Text(sums, blocks, facts | {"stretches": size, "tokens": float(sums.tokens.sum())})


def halves(text: Text, splits: int) -> dict[str, float]:
    """How often the halves of a text differ by no more than their errors say."""
    generator = np.random.default_rng(0)
    held, naive, ratio = [], [], []
    for _ in range(splits):
        shuffled = generator.permutation(len(text.blocks))
        cut = np.searchsorted(text.blocks[shuffled].cumsum(), text.blocks.sum() / 2)
        parts = [shuffled[:cut], shuffled[cut:]]
        one, two = (
            estimates(GroupSums(*(value[torch.from_numpy(part)] for value in text.sums)), text.blocks[part])
            for part in parts
        )
        valid = np.isfinite(one.stderr) & np.isfinite(two.stderr)
        distance = np.abs(one.corr - two.corr)[valid]
        reach = student.ppf(0.5 + CONFIDENCE / 2, one.degrees + two.degrees)
        within = lambda first, second: np.mean(distance <= reach * np.hypot(first, second)[valid])  # noqa: B023
        held.append(within(one.stderr, two.stderr))
        naive.append(within(one.independent, two.independent))
        ratio.append(np.median((one.stderr / one.independent)[valid]))
    return {
        "halves": float(np.mean(held)),
        "halves, as if independent": float(np.mean(naive)),
        "error ratio": float(np.mean(ratio)),
    }


def main() -> None:
    """Simulate, read a text, and print the shares."""
    parser = arguments(__doc__, "fewer documents, intervals and splits")
    parser.add_argument("--source", default="sample", choices=["sample", "local"], help="of the real text")
    parser.add_argument("--tokens", type=int, default=600_000, help="of the real text")
    options = on_threads(parser)
    ratios = {}
    for documents in [200] if options.quick else [200, 2000]:
        for rho in (0.0, 0.5, 0.95):
            pairs = 400 if options.quick else 2000
            share = simulated(documents, rho, False, pairs, documents)
            ratios[f"simulated, {documents} documents, rho {rho:g}"] = Ratio(
                share, at_least=0.92, at_most=0.97
            )
    ratios["simulated, one document has a tenth"] = Ratio(simulated(2000, 0.5, True, 400, 0))
    text = read_text(options.source, 100_000 if options.quick else options.tokens)
    found = halves(text, 4 if options.quick else 40)
    ratios["halves"] = Ratio(found.pop("halves"), at_least=0.92, at_most=0.98)
    ratios |= {name: Ratio(value) for name, value in found.items()}
    conclude("coverage", ratios, text.facts, options)


if __name__ == "__main__":
    main()
