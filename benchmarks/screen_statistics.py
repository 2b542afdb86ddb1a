"""Screening and the exact method on synthetic activations, without models and reading."""

from typing import Any

import torch
from clock import Clock
from keep import Found, Ratio
from planted import BATCH, CONTEXT, Planted

from un_lightning.analyses.correlation.member_sums import MemberSums
from un_lightning.analyses.correlation.pair_correlation import pair_views
from un_lightning.analyses.screen.report import candidate_view, certificates
from un_lightning.analyses.screen.sample import screening_side
from un_lightning.config import Baseline, CorrelationConfig, Gemm, Site
from un_lightning.models.units import Units
from un_lightning.stats.block_sample import BlockSample
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.followed_pairs import FollowedPairs
from un_lightning.stats.screening import critical_value, screen_pair
from un_lightning.stats.unit_sums import UnitSums


def statistics_only(layers: int, width: int, tokens: int, options: Any, device: torch.device) -> Found:
    """Both methods on synthetic activations."""
    units = [Units(name, Site.mlp_post, (width,) * layers) for name in "ab"]
    count, batches, clock = layers * width, tokens // BATCH, Clock(device, processor=True)
    dtype = torch.bfloat16 if options.gemm is Gemm.bfloat16 else torch.float32
    source, shift = Planted(count, device, dtype), torch.zeros(count, device=device)
    config = CorrelationConfig(
        baseline=Baseline.gaussian_rows, draws=options.draws, candidates=options.candidates, confidence=0.99
    )
    sampled = max(2, options.sample // BATCH)
    nothing = torch.zeros(0, dtype=torch.int64, device=device)
    blocks = BATCH // CONTEXT

    pieces = [source.batch(number) for number in range(sampled)]
    values = [torch.cat([piece[side] for piece in pieces], dim=1) for side in range(2)]
    del pieces
    with clock("sample"):
        samples = []
        for own in values:
            sums = BlockSums(count, device)
            sums.add(own, sampled * blocks, sampled * BATCH)
            moments = sums.moments(sampled * BATCH, shift)
            samples.append(BlockSample(own, moments, nothing, sampled * blocks, batches * blocks))
        sides = [screening_side(sample, own, config, 0) for sample, own in zip(samples, units, strict=True)]
        critical = critical_value(config.confidence, count, len(samples[0].groups))
        screened = screen_pair(sides[0], sides[1], config.candidates, critical)
    del sides, values, samples
    pairs = FollowedPairs(*screened, critical, config.floor)
    begun = pairs.active

    rows = torch.arange(0, count, max(1, count // options.truth_rows), device=device)
    truth = torch.zeros(len(rows), count, dtype=torch.float64, device=device)
    sums = [BlockSums(count, device) for _ in range(2)]
    for number in range(batches):
        left, right = source.batch(number)
        with clock("follow"):
            pairs.add(left, right)
            for own, one in zip(sums, (left, right), strict=True):
                own.add(one, blocks, BATCH)
        truth += (left[rows].float() @ right.float().T).double()
    moments = [own.moments(batches * BATCH, shift) for own in sums]
    corr = pairs.correlations(batches * BATCH, *moments)
    view = candidate_view(pairs.sides[0], pairs.of_candidates(0, corr))
    certified = certificates(view, pairs.sides[0], sums[0].effective_blocks(), sampled / batches)[rows]
    truth = truth / (batches * BATCH) - torch.outer(moments[0].mean[rows], moments[1].mean)
    truth /= torch.outer(moments[0].deviation[rows], moments[1].deviation)
    best, partner = truth.max(1)
    found = view.summary.best_index[rows, 0] == partner
    strong = best > 0.3

    exact = time_exact(source, units, config, options, batches, clock)
    screen = clock.seconds["sample"] + clock.seconds["follow"]
    ratios = {
        "statistics, exact / screen": Ratio(exact / screen, at_least=20 if device.type == "cuda" else 10),
        "statistics, recall": Ratio(float(found[strong].double().mean()), at_least=0.999),
    }
    return ratios, {
        "shape": [layers, width],
        "tokens": batches * BATCH,
        "sample": sampled * BATCH,
        "candidates": config.candidates,
        "followed_pairs": [begun, pairs.active],
        "seconds": {name: round(value, 2) for name, value in clock.seconds.items()},
        "exact_seconds_scaled": round(exact, 1),
        "screen_seconds": round(screen, 1),
        "units_rho_above_0.3": int(strong.sum()),
        "error_of_found": float((view.summary.best[rows, 0] - best)[found].abs().max()),
        "certified": int(certified.sum()),
        "certified_and_wrong": int((certified & ~found & (best > view.summary.best[rows, 0])).sum()),
        "certified_share_rho_above_0.3": round(float(certified[strong].double().mean()), 4),
    }


def time_exact(
    source: Planted, units: list[Units], config: CorrelationConfig, options: Any, batches: int, clock: Clock
) -> float:
    """Seconds of the exact method's statistics on the whole stream."""
    count, device = units[0].count, source.device
    sums, grams = zip(
        *((UnitSums(count, device), LayerGrams(one.widths, device)) for one in units), strict=True
    )
    strip = units[0].widths[0] if options.strip else count
    product, timed = CrossProduct(strip, count, device), options.exact_batches
    warm = 1 if device.type == "cuda" else 0  # the first product chooses its kernel
    for number in range(warm + timed):
        both = [values.T.contiguous() for values in source.batch(number)]
        with clock("exact_sums" if number >= warm else "warm"):
            for own, gram, values in zip(sums, grams, both, strict=True):
                own.add(values)
                gram.add(values)
        with clock("exact_products" if number >= warm else "warm"):
            product.add(both[0][:, :strip], both[1])
    products = clock.seconds["exact_products"] * count / strip
    through = (clock.seconds["exact_sums"] + products) * batches / timed
    if options.strip:
        return through
    shift = torch.zeros(count, device=device)
    seen = (warm + timed) * BATCH
    members = [
        MemberSums(one, own.moments(seen, shift), [gram.gram(i) for i in range(len(one.widths))])
        for one, own, gram in zip(units, sums, grams, strict=True)
    ]
    with clock("exact_after"):
        pair_views(members[0], members[1], product.tensors["product"], seen, config, 0)
    return through + clock.seconds["exact_after"]
