"""Screening against the exact method: time of the statistics, recall, and a run end to end.

    python benchmarks/screen.py [--quick]

Synthetic activations of two models that share latents (sparse, alike within a block) need no models: what is
timed is statistics alone. Screening runs over the whole stream. The exact method is timed on its first
batches, and its products, which cost the same for every batch, are counted for the whole stream; the work
after its pass is timed once and added. With --strip, for machines that cannot hold all products, only the
first layer of the first model is multiplied with all of the second, which is counted for every layer, and
the work after the pass is left out, to the exact method's favour. Which partner is the best over the whole
stream is known for some units of the first model, whose correlations with all units of the second are summed
beside the timing. End to end, both methods run on two members of the tiny family. On the CPU processor time
is counted, which other programs on the machine do not change much; on CUDA it is the time on the clock.

The last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from keep import conclude
from torch import Tensor

from un_lightning.analyses import make_analysis
from un_lightning.analyses.member_sums import MemberSums
from un_lightning.analyses.pair_correlation import pair_views
from un_lightning.analyses.screen_report import candidate_view, certificates
from un_lightning.analyses.screen_sample import screening_side
from un_lightning.config import (
    Baseline,
    CorrelationConfig,
    DataConfig,
    Gemm,
    MemberConfig,
    Method,
    ModelsConfig,
    ModelSource,
    Part,
    Site,
    TrainerConfig,
)
from un_lightning.lightning import make_trainer
from un_lightning.models.family import load_family
from un_lightning.models.units import Units
from un_lightning.stats.block_sample import BlockSample
from un_lightning.stats.block_sums import BlockSums
from un_lightning.stats.cross_product import CrossProduct, LayerGrams
from un_lightning.stats.followed_pairs import FollowedPairs
from un_lightning.stats.screening import critical_value, screen_pair
from un_lightning.stats.unit_sums import UnitSums


CONTEXT, BATCH = 128, 4096


class Clock:
    """Seconds spent in named parts."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        """Processor seconds, or seconds on the clock once the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()

    @contextmanager
    def __call__(self, part: str) -> Any:
        """Add what happens inside to a part."""
        begun = self.now()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + self.now() - begun


class Planted:
    """Batches [units, tokens] of two models with correlations from 0 to about 0.9, and rivals."""

    def __init__(self, units: int, device: torch.device, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        self.latents = units // 3
        self.chosen = [torch.randint(self.latents, (2, units), generator=generator).to(device) for _ in "ab"]
        scale = torch.tensor([[1.0], [0.4]])
        self.weights = [(torch.rand(2, units, generator=generator) * scale).to(device) for _ in "ab"]
        self.device, self.dtype = device, dtype

    def batch(self, number: int) -> list[Tensor]:
        """Activations of both models, the same whenever asked for."""
        generator = torch.Generator(self.device).manual_seed(number)
        draw = lambda *shape: torch.randn(*shape, generator=generator, device=self.device)
        burst = draw(self.latents, BATCH // CONTEXT, 1).expand(-1, -1, CONTEXT).reshape(self.latents, -1)
        signal = draw(self.latents, BATCH) + 0.7 * burst
        signal = torch.where(signal > 1, signal**2, 0.1 * signal) - 0.5
        models = []
        for chosen, weight in zip(self.chosen, self.weights, strict=True):
            values = draw(chosen.shape[1], BATCH).mul_(0.5)
            for which in range(2):
                values.addcmul_(signal[chosen[which]], weight[which, :, None])
            models.append(values.to(self.dtype))
        return models


def statistics_only(layers: int, width: int, tokens: int, options: Any, device: torch.device) -> dict:
    """Both methods on synthetic activations."""
    units = [Units(name, Site.mlp_post, (width,) * layers) for name in "ab"]
    count, batches, clock = layers * width, tokens // BATCH, Clock(device)
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
    return {
        "shape": [layers, width],
        "tokens": batches * BATCH,
        "sample": sampled * BATCH,
        "candidates": config.candidates,
        "followed_pairs": [begun, pairs.active],
        "seconds": {name: round(value, 2) for name, value in clock.seconds.items()},
        "exact_seconds": round(exact, 1),
        "screen_seconds": round(screen, 1),
        "exact_over_screen": round(exact / screen, 2),
        "recall_rho_above_0.3": round(float(found[strong].double().mean()), 5),
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
            for own, gram, one, values in zip(sums, grams, units, both, strict=True):
                own.add(values)
                for layer, columns in enumerate(one.layer_slices()):
                    gram.add(layer, values[:, columns])
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


def end_to_end(tokens: int, options: Any) -> dict:
    """Both methods on two members of the tiny family: reading, models, statistics and report."""
    members = [MemberConfig(name=name, path=f"bundled:un_tiny/{name}") for name in "ab"]
    tokenizer = "bundled:un_tiny/tokenizer"
    models = ModelsConfig("un-tiny", ModelSource.local, members, "a", tokenizer=tokenizer)
    family = load_family(models)
    seconds, tables, results = {}, {}, None
    for method in (Method.screen, Method.exact):
        config = CorrelationConfig(
            method=method, candidates=options.candidates, confidence=0.99, jackknife=0, measures=[]
        )
        analysis = make_analysis(config, family, 0)
        data = analysis.stream(DataConfig(part=Part.held_out, context=CONTEXT, tokens=tokens))
        data.prepare_data()
        with tempfile.TemporaryDirectory() as folder:
            setting = TrainerConfig(accelerator="cpu", threads=torch.get_num_threads())
            trainer = make_trainer(setting, None, Path(folder))
            begun = time.process_time()
            trainer.validate(analysis, datamodule=data, verbose=False)
            seconds[method] = time.process_time() - begun
        assert analysis.results is not None
        results = results or analysis.results
        tables[method] = analysis.results.tables
    return {
        "tokens": tokens,
        "candidates": options.candidates,
        "exact_over_screen": round(seconds[Method.exact] / seconds[Method.screen], 2),
        "seconds": {str(method): round(value, 1) for method, value in seconds.items()},
        "certified_percent": results.scalars["screen/certified_percent"] if results else None,
        **compare(tables[Method.screen], tables[Method.exact]),
    }


def compare(screen: dict, exact: dict) -> dict:
    """Recall, and differences of correlations and baselines, of both models."""
    keys = ["model", "layer", "neuron"]
    best = [tables["matches"].query("rank == 1").sort_values(keys) for tables in (screen, exact)]
    same = (best[0]["match_layer"].to_numpy() == best[1]["match_layer"].to_numpy()) & (
        best[0]["match_neuron"].to_numpy() == best[1]["match_neuron"].to_numpy()
    )
    neurons = [tables["neurons"].sort_values(keys) for tables in (screen, exact)]
    corr = [table["mean_corr"].to_numpy() for table in neurons]
    bias = neurons[0]["mean_baseline"].to_numpy() - neurons[1]["mean_baseline"].to_numpy()
    return {
        **{f"recall_rho_above_{low}": round(float(same[corr[1] > low].mean()), 5) for low in (0.2, 0.3, 0.5)},
        "error_of_found": float(np.abs(corr[0] - corr[1])[same].max()),
        "certified_and_wrong": int((neurons[0]["certified"].to_numpy() & (corr[1] > corr[0] + 1e-5)).sum()),
        "baseline_bias": round(float(bias.mean()), 5),
        "baseline_error": round(float(bias.std()), 5),
        "universal": [int(table["universal"].sum()) for table in neurons],
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small shape and a short stream")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--sample", type=int, default=8192)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--gemm", type=Gemm, default=Gemm.float32, choices=[Gemm.float32, Gemm.bfloat16])
    parser.add_argument("--truth-rows", type=int, default=1024)
    parser.add_argument("--exact-batches", type=int, default=1)
    parser.add_argument("--strip", action="store_true", help="time a part of the exact products")
    parser.add_argument("--family-tokens", type=int, default=400_000, help="of the run end to end")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip", choices=["statistics", "end_to_end"], action="append", default=[])
    parser.add_argument("--save", type=Path, help="folder for the dated result")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape, tokens = ((2, 256), 65_536) if options.quick else ((12, 3072), 1_048_576)
    report: dict[str, Any] = {}
    parts: dict[str, Callable[[], dict]] = {
        "statistics": lambda: statistics_only(
            options.layers or shape[0], options.width or shape[1], options.tokens or tokens, options, device
        ),
        "end_to_end": lambda: end_to_end(65_536 if options.quick else options.family_tokens, options),
    }
    for name, part in parts.items():
        if name not in options.skip:
            report[name] = part()
            print(f"{name}: {json.dumps(report[name], indent=1)}")
    conclude("screen", report, options.save)


if __name__ == "__main__":
    main()
