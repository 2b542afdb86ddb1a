"""What intervals state is true: coverage in simulations, and the split-half estimate against brute force."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tests.reference.correlation import correlations
from tests.reference.split_half import split_half
from un_lightning.analyses.correlation.excess import Compared, excess_bounds
from un_lightning.analyses.correlation.intervals import Intervals
from un_lightning.analyses.correlation.row_blocks import schedule
from un_lightning.config import Site
from un_lightning.models.units import Units
from un_lightning.stats.cross_product import CrossProduct
from un_lightning.stats.unit_sums import UnitSums


CPU = torch.device("cpu")
BATCHES = 40
"""Of all shares together."""


def read_out(values, groups, candidates, shares=1):
    """Intervals of a star around the first of some matrices [tokens, units], all shares merged.

    Each share reads neighbouring tokens, in batches of one size.
    """
    mine, *others = values
    units = {name: Units(name, Site.mlp_post, (own.shape[1],)) for name, own in values.items()}
    ((blocks,),) = schedule([(mine, other) for other in others], units, 1, 1)
    shifts = {name: torch.zeros(own.count) for name, own in units.items()}
    batches = {name: torch.from_numpy(own).float().chunk(BATCHES) for name, own in values.items()}
    whole, each = None, BATCHES // shares
    own_groups = -(-groups // shares)
    ends = [-(-(number + 1) * each // own_groups) for number in range(own_groups)]
    for share in range(shares):
        sums = {name: UnitSums(own.count, CPU) for name, own in units.items()}
        products = {
            block: CrossProduct(units[block.left].count, units[block.right].count, CPU) for block in blocks
        }
        one = Intervals(sums, units, blocks, groups, candidates, share, shares, ends)
        counted = 0
        for position in range(1, each + 1):
            batch = {name: own[share * each + position - 1] for name, own in batches.items()}
            for name, own in batch.items():
                sums[name].add(own)
            for block, product in products.items():
                product.add(batch[block.left], batch[block.right])
            counted += len(batch[mine])
            one.after_batch(position, counted, products, shifts, 256, alone=True)
        if whole is None:
            whole = one
            continue
        for name, statistic in {**whole.of_models(), **whole.of_blocks(blocks)}.items():
            own = {**one.of_models(), **one.of_blocks(blocks)}[name]
            for key, tensor in statistic.tensors.items():
                tensor += own.tensors[key]
    assert whole is not None
    return whole


def by_document(generator, tokens, units, document):
    """Activations of variance 1, half of which is common to the tokens of a document."""
    draw = lambda count: generator.normal(size=(count, units))
    if document == 1:
        return draw(tokens)
    return (np.repeat(draw(tokens // document), document, axis=0) + draw(tokens)) / np.sqrt(2)


def planted(generator, tokens, units, document, others, rho):
    """Unit i of every other model is correlated by `rho` with unit i of the first, and with no other."""
    draw = partial(by_document, generator, tokens, units, document)
    first = draw()
    return {"a": first} | {name: rho * first + np.sqrt(1 - rho**2) * draw() for name in others}


def with_corr(values, mine, best):
    """Partners, and the correlation with each."""
    found = {}
    for other, partner in best.items():
        rho = correlations(values[mine], values[other])[np.arange(len(partner)), partner]
        found[other] = partner, torch.from_numpy(rho)
    return found


def table_of(best):
    """The columns of a neuron table that errors are made from."""
    found = np.mean([corr.numpy() for _, corr in best.values()], axis=0)
    return pd.DataFrame({"valid": True, "mean_corr": found})


def share_within(low, truth, high):
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("document", [1, 10])
@pytest.mark.parametrize(("shares", "others"), [(1, "b"), (4, "b"), (1, "bc")])
def test_stated_coverage_is_real(document, shares, others):
    """Each unit's partner is clear; units are independent, so the share that is covered is binomial.

    The bounds hold for 9,999 of 10,000 draws at 95 %. The baseline's own error, over three draws for each
    other model and about as large as that over text, is in the bounds of the excess.
    """
    units, tokens, rho, baseline, stderr = 800, 4000, 0.8, 0.3, 0.005
    generator = np.random.default_rng(document + 10 * shares)
    values = planted(generator, tokens, units, document, others, rho)
    best = with_corr(values, "a", dict.fromkeys(others, torch.arange(units)))
    table = table_of(best)
    readings = read_out(values, groups=20, candidates=1, shares=shares)
    found = readings.columns("a", best, table, 0.95)
    assert found["followed"].all()
    scale = stderr * np.sqrt(3 * len(others))
    drawn = generator.normal(baseline, scale, size=(len(others), 3, units))
    compared = Compared(np.broadcast_to(table["mean_corr"], (len(others), units)), drawn)
    table["excess_corr"] = table["mean_corr"] - drawn.mean((0, 1))
    degrees = len(readings.without["a"].tokens) - 1
    found = found.join(excess_bounds(table.join(found), compared, degrees, 0.95))
    least, most = binom.interval(0.9999, units, 0.95)
    covered = units * share_within(found["mean_corr_low"], rho, found["mean_corr_high"])
    assert least <= covered <= most, covered / units
    # Errors that are stretched one by one are a little wider than they need be.
    covered = units * share_within(found["excess_low"], rho - baseline, found["excess_high"])
    assert least <= covered <= units * 0.995, covered / units
    assert (found["excess_high"] - found["excess_low"] > 2 * found["corr_stderr"]).all()


def test_a_confidence_of_half_covers_half():
    units, rho = 800, 0.8
    values = planted(np.random.default_rng(5), 4000, units, 10, "b", rho)
    best = with_corr(values, "a", {"b": torch.arange(units)})
    found = read_out(values, groups=20, candidates=1).columns("a", best, table_of(best), 0.5)
    least, most = binom.interval(0.9999, units, 0.5)
    assert least <= units * share_within(found["mean_corr_low"], rho, found["mean_corr_high"]) <= most


def test_a_partner_that_was_chosen_elsewhere_is_not_too_high():
    """Unrelated units: the largest of 200 correlations is far above 0, `split_corr` is 0 but for chance."""
    values = {name: by_document(np.random.default_rng(seed), 4000, 200, 10) for seed, name in enumerate("ab")}
    rho = correlations(values["a"], values["b"])
    best = with_corr(values, "a", {"b": torch.from_numpy(rho.argmax(1))})
    found = read_out(values, groups=20, candidates=8).columns("a", best, table_of(best), 0.95)
    split = found["split_corr"]
    assert rho.max(1).mean() > 0.07
    assert abs(split.mean()) < 4 * split.std() / np.sqrt(len(split))


def test_the_largest_and_the_split_correlation_enclose_the_truth():
    """Each unit has six partners of nearly the same correlation; half of the text may choose a worse one."""
    generator, units, truth = np.random.default_rng(7), 100, 0.5
    draw = partial(by_document, generator, 2000, units, 10)
    first = draw()
    rivals = [rho * first + np.sqrt(1 - rho**2) * draw() for rho in (truth, *[0.48] * 5)]
    values = {"a": first, "b": np.concatenate(rivals, axis=1)}
    rho = correlations(values["a"], values["b"])
    best = with_corr(values, "a", {"b": torch.from_numpy(rho.argmax(1))})
    found = read_out(values, groups=20, candidates=12).columns("a", best, table_of(best), 0.95)
    split = found["split_corr"]
    error = split.std() / np.sqrt(units)
    assert rho.max(1).mean() > truth
    assert truth - 0.05 < split.mean() < truth + 2 * error
    assert split.mean() < rho.max(1).mean() - 2 * error


@given(
    seed=st.integers(0, 1000),
    shares=st.sampled_from([1, 2, 4]),
    groups=st.sampled_from([8, 10, 20]),
    candidates=st.sampled_from([1, 3, 12]),
    others=st.sampled_from(["b", "bc"]),
)
def test_split_half_equals_brute_force(seed, shares, groups, candidates, others):
    """float32 products of 800 tokens: 1e-5 of a correlation."""
    generator, tokens = np.random.default_rng(seed), 800
    values = planted(generator, tokens, 12, 5, others, 0.3)
    readings = read_out(values, groups, candidates, shares)
    each, own_groups = BATCHES // shares, -(-groups // shares)
    batch = np.arange(tokens) * BATCHES // tokens
    group = batch // each * own_groups + batch % each * own_groups // each
    choosing = [share * own_groups for share in range(shares)]
    for mine, partners in [("a", others), *((other, "a") for other in others)]:
        wanted = np.mean(
            [split_half(values[mine], values[other], group, choosing, candidates) for other in partners],
            axis=0,
        )
        own = with_corr(values, mine, dict.fromkeys(partners, torch.arange(12)))
        found = readings.columns(mine, own, table_of(own), 0.95)["split_corr"]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
