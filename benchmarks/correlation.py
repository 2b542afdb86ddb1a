"""Speed, memory and error of the correlation pass, as ratios within one run.

    python benchmarks/correlation.py [--quick] [--save benchmarks/results]
    python benchmarks/correlation.py --shape tiny_gpt2                # with GPT-2's own GELU
    python benchmarks/correlation.py --shape gpt2_small --batch 1024
    python benchmarks/correlation.py --shape gpt2_medium              # on a GPU

Models of true shapes with random weights, a pair (of the tiny shapes also a star of five). First a whole run
over a store of random text, then single batches on which several things take turns, so that a busy machine
slows all of them alike: the analysis (every model once, products, sums, products within layers), its products
by themselves, what cannot be avoided, the device's peak (`physical.py`), and the published scripts' design
(`published_design.py`).

Ratios:

* batch / physical: a batch of the analysis over each model's bare forward pass once, as transformers runs it,
  plus one `torch.mm` a pair at that shape;
* long run / physical: a run of 10⁸ tokens, end to end with reading, intervals, baseline and report, over that
  for all its batches. It is counted from a shorter run, of which the seconds of start, end and readings are
  taken once and those of batches for every batch. These are means, where all else is the fastest turn, so
  that on a busy machine this ratio is too large;
* lean batch / physical: the same where the analysis finds what the published scripts find and no more, a
  baseline of the reference alone and no CKA;
* published / batch: the published design's batch, of which it does two for one of ours, over ours; not where
  its float64 arrays do not fit on the host; published / lean batch likewise;
* published / long run: the same for the whole run;
* share of peak in products: multiplications a second that the products of a batch reach, over those of
  `torch.mm` in the same input type at the best large square shape that fits;
* error of rho: largest difference of a correlation from that of the same activations in float64, for 512
  units of the reference with all units of another model, over the tokens in `error_tokens`.

Other figures: `run` has tokens a second and the run's seconds by part (`data` is waiting for the next batch,
with what Lightning does between two; `forward` includes the copy into the matrices; `products` is the GEMM;
`sums` are those of each model; `intervals` are readings for the jackknife; `end` is baseline and report) and
`peak_gb`, the most memory that tensors took on the GPU, or the process on the CPU, with `planned_gb` before
the run. `seconds` are those of the fastest turn: what else
the machine does only adds to them. `gemm` is the input type of the products. On a GPU the parts of the
run are waited for, so that tokens a second are a lower bound. The last line is one JSON object.
"""

import argparse
import gc
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from clock import Clock, by_turns
from keep import Found, Ratio, arguments, conclude, on_threads, this_device
from physical import BareForwards, Peak, Products
from published_design import PublishedDesign
from random_models import SHAPES, random_batch, random_family, random_text

from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import BaselineOf, CorrelationConfig, Gemm, MeasureName, Site, TrainerConfig
from un_lightning.data.loader import Batch
from un_lightning.lightning import make_trainer
from un_lightning.memory import peak_bytes
from un_lightning.models.family import Family
from un_lightning.stats.cross_product import tf32_products
from un_lightning.stats.pair_sums import ModelSums, PairSums


RUN = 100_000_000
"""Tokens of a run of full size, for which `gemm=auto` chooses."""
ROWS = 512
"""Units whose correlations are compared with float64."""


class TimedAnalysis(CorrelationAnalysis):
    """Counts the seconds of its parts."""

    def __init__(self, config: CorrelationConfig, family: Family, clock: Clock) -> None:
        super().__init__(config, family, seed=0)
        self.clock = clock
        self._read = clock.timed("forward", self._read)
        self._add_alone = clock.timed("sums", self._add_alone)
        self.after_batch = clock.timed("intervals", self.after_batch)

    def begin_pass(self) -> None:
        """Begin to count."""
        super().begin_pass()
        for product in self.products.values():
            product.add = self.clock.timed("products", product.add)
        self.begun = self.clock.now()

    def on_validation_epoch_end(self) -> None:
        """What the pass took that was none of its parts is waiting for data."""
        seconds = self.clock.seconds
        seconds["data"] = self.clock.now() - self.begun - sum(seconds.values())
        with self.clock("end"):
            super().on_validation_epoch_end()


def driven(config: CorrelationConfig, family: Family, pilot: Batch) -> CorrelationAnalysis:
    """An analysis ready for batches, without a Trainer."""
    analysis = alone(config, family, pilot.tokens.device)
    analysis.begin(analysis.look(pilot))
    analysis.begin_pass()
    return analysis


def alone(config: CorrelationConfig, family: Family, device: torch.device) -> CorrelationAnalysis:
    """An analysis that takes itself for the only one of a run of full size."""
    analysis = CorrelationAnalysis(config, family, seed=0)
    trainer: Any = SimpleNamespace(global_rank=0, world_size=1, num_devices=1)
    no_groups = SimpleNamespace(ends=[])
    trainer.datamodule = SimpleNamespace(total=RUN, batches=lambda share, shares: no_groups)  # noqa: ARG005
    analysis.trainer = trainer
    return analysis.to(device)


def whole_run(
    family: Family, gemm: Gemm, options: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """A run from a store to the report, with the defaults of the analysis."""
    context, batches = family.context or options.batch, options.batches
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clock, whole = Clock(device), Clock(device)
    analysis = TimedAnalysis(CorrelationConfig(gemm=gemm), family, clock)
    with tempfile.TemporaryDirectory() as folder:
        stream = analysis.stream(
            random_text(Path(folder), batches * options.batch // context, context, options.batch // context)
        )
        accelerator = "gpu" if device.type == "cuda" else "cpu"
        trainer = make_trainer(TrainerConfig(accelerator=accelerator), None, Path(folder))
        with whole("run"):
            while not analysis.complete:
                trainer.validate(analysis, datamodule=stream, verbose=False)
    for model in family.models.values():
        model.to(device)  # Lightning takes them away from the device when it is done
    total = whole.seconds["run"]
    parts = clock.seconds | {"start": total - sum(clock.seconds.values())}
    each = sum(parts[name] for name in ("data", "forward", "sums", "products")) / batches
    assert analysis.intervals is not None
    groups = len(analysis.intervals.ends)
    once = parts["start"] + parts["end"] + parts["intervals"] * analysis.settings.jackknife / groups
    return {
        "batches": batches,
        "passes": analysis.passes,
        "gemm": str(gemm),
        "tokens_per_second": round(batches * options.batch / total),
        "seconds_a_batch_of_a_long_run": each + once * options.batch / RUN,
        "seconds": {name: round(value, 3) for name, value in parts.items()},
        "share": {name: round(value / total, 3) for name, value in parts.items()},
        "peak_gb": round(peak_bytes(device) / 1e9, 3),
        "planned_gb": round(analysis.planned / 1e9, 3) if analysis.planned else None,
    }


def rho_error(family: Family, config: CorrelationConfig, batches: list[Batch]) -> float:
    """Largest error of a correlation of some units of the reference with all units of the next member."""
    analysis = driven(config, family, batches[0])
    (block, product), *_ = analysis.products.items()
    pair, sums = block.pair, analysis.sums
    step = max(1, analysis.units[pair[0]].count // ROWS)
    rows, everything = slice(0, None, step), slice(0, analysis.units[pair[1]].count)
    exact: list[Any] = [0.0] * 5
    count = 0
    for batch in batches:
        analysis.add(batch)
        count += batch.count
        one, other = (
            torch.cat(
                [part.flatten(0, 1) for part in family.models[name].capture(batch.tokens, Site.mlp_post)],
                dim=1,
            )
            .index_fill_(0, batch.skipped, 0)
            .double()
            for name in pair
        )
        one = one[:, rows]
        new = (one.T @ other, one.sum(0), other.sum(0), one.square().sum(0), other.square().sum(0))
        exact = [old + more for old, more in zip(exact, new, strict=True)]
    cross, means = exact[0] / count, [total / count for total in exact[1:3]]
    scales = [
        (squares / count - mean.square()).rsqrt() for squares, mean in zip(exact[3:], means, strict=True)
    ]
    truth = (cross - torch.outer(*means)) * torch.outer(*scales)
    sides = [
        ModelSums(
            sums[name].moments(count, analysis.shifts[name]),
            analysis.shifts[name],
            tuple(analysis.units[name].layer_slices()),
        )
        for name in pair
    ]
    found = PairSums(product.tensors["product"], count, sides[0], sides[1]).correlation(rows, everything)
    return float((found.double() - truth).abs().nan_to_num(0).max())


def measure(family: Family, options: argparse.Namespace, device: torch.device) -> Found:
    """All figures of one family."""
    context = family.context or options.batch
    make = lambda seed: random_batch(options.batch // context, context, seed, device)
    batch = make(0)
    config = CorrelationConfig(jackknife=0, gemm=options.gemm)
    gemm = list(Gemm)[int(alone(config, family, device).look(batch)["gemm"])]
    config = replace(config, gemm=gemm)
    run = whole_run(family, gemm, options, device)
    gc.collect()  # its products are in a circle of references, and so are the next ones
    error = rho_error(family, config, [make(seed) for seed in range(1, 1 + options.error_batches)])
    gc.collect()
    analysis = driven(config, family, batch)
    lean = driven(
        replace(config, baseline_of=BaselineOf.reference, measures=[MeasureName.mutual]), family, batch
    )
    least_products, peak = Products(family, options.batch, gemm, device), Peak(gemm, device)
    bare = BareForwards(family)
    filled = {name: analysis._read(name, batch) for name in analysis.reads}
    actions = {
        "batch": lambda: analysis.add(batch),
        "lean": lambda: lean.add(batch),
        "own_products": lambda: own_products(analysis, filled),
        "forwards": lambda: bare.run(batch),
        "products": least_products.multiply,
        "peak": peak.multiply,
    }
    if PublishedDesign.fits(family):
        published = PublishedDesign(family, device)
        actions["published"] = lambda: published.add(batch)
    turns = by_turns(actions, options.rounds, Clock(device))
    took = {name: min(seconds) for name, seconds in turns.items()}
    work = sum(
        2 * options.batch * analysis.units[a].count * analysis.units[b].count for a, b in analysis.pairs
    )
    least = took["forwards"] + took["products"]
    long = run.pop("seconds_a_batch_of_a_long_run")
    cuda = device.type == "cuda"
    ratios = {
        "batch / physical": Ratio(took["batch"] / least, at_most=1.1),
        "lean batch / physical": Ratio(took["lean"] / least, at_most=1.1),
        "long run / physical": Ratio(long / least, at_most=1.1),
        "share of peak in products": Ratio(
            work / took["own_products"] / (peak.work / took["peak"]), at_least=0.6 if cuda else None
        ),
        "error of rho": Ratio(error, at_most=1e-4),
    }
    if "published" in took:
        ratios["published / batch"] = Ratio(took["published"] / took["batch"], at_least=2.5)
        ratios["published / lean batch"] = Ratio(took["published"] / took["lean"], at_least=2.5)
        ratios["published / long run"] = Ratio(took["published"] / long, at_least=2.5)
    return ratios, {
        "members": len(family.models),
        "neurons": analysis.units[family.reference].count,
        "tokens_a_batch": options.batch,
        "seconds": {name: round(value, 4) for name, value in took.items()},
        "run": run,
        "peak_gflops": round(peak.work / took["peak"] / 1e9, 1),
        "peak_side": peak.side,
        "error_tokens": options.error_batches * options.batch,
    }


def own_products(analysis: CorrelationAnalysis, values: dict[str, torch.Tensor]) -> None:
    """The products of a batch, as the analysis makes them."""
    with tf32_products(analysis.gemm is Gemm.tf32):
        for block, product in analysis.products.items():
            product.add(values[block.left][:, block.rows], values[block.right])


def main() -> None:
    """Measure, print, and keep the result."""
    parser = arguments(__doc__, quick="two rounds and four batches of a pair of the shape")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--layers", type=int, help="so many of the shape's layers")
    parser.add_argument("--gemm", type=Gemm, choices=list(Gemm), default=Gemm.auto, help="input type")
    parser.add_argument("--batch", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--rounds", type=int, help="batches in turn; 15 of the tiny shapes, else 3")
    parser.add_argument("--batches", type=int, help="of the whole run; 240 of the tiny shapes, else 4")
    parser.add_argument("--error-batches", type=int, help="on which the error is measured; 2, on CUDA 32")
    options = on_threads(parser, threads=None)
    device = this_device()
    tiny = options.shape.startswith("tiny")
    options.rounds = options.rounds or (2 if options.quick else 15 if tiny else 3)
    options.batches = options.batches or (240 if tiny and not options.quick else 4)
    options.error_batches = options.error_batches or (32 if device.type == "cuda" else 2)
    changes = {"n_layer": options.layers} if options.layers else {}
    ratios: dict[str, Ratio] = {}
    results = {}
    for members in (2, 5) if tiny and not options.quick else (2,):
        name = "pair" if members == 2 else f"star of {members}"
        family = random_family(options.shape, members, device, **changes)
        found, results[name] = measure(family, options, device)
        ratios |= {f"{name}: {label}": ratio for label, ratio in found.items()}
    layers = SHAPES[options.shape]["n_layer"] if not options.layers else options.layers
    name = "correlation" if options.shape == "tiny" else f"correlation-{options.shape}"
    name += f"-{options.layers}" if options.layers else ""
    conclude(name, ratios, {"shape": options.shape, "layers": layers, "results": results}, options, device)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
