"""How the correlation pass grows with units, tokens and ranks, what it is made of, and the memory it takes.

    python benchmarks/scaling.py [--quick] [--skip ranks] [--save benchmarks/results]

* `layers`, `batch`: seconds of a batch spent in the models' forward passes (with the copy into the matrices),
  in the products of pairs, and in the sums of each model, for growing numbers of layers and of tokens a
  batch; `share_of_products` is the products' part of these;
* memory / plan: the peak of a pass and its end, less what was taken before, over what the plan said before
  it;
* two processes / one: tokens per second of a whole run with two CPU processes of one thread each over those
  with one, which two idle cores would double.

The last line is one JSON object.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from clock import Clock, by_turns
from correlation import driven, own_products
from keep import Ratio, arguments, conclude, on_threads, this_device
from random_models import SHAPES, random_batch, random_family

from un_lightning.analyses.correlation.memory import plan_memory
from un_lightning.config import CorrelationConfig
from un_lightning.memory import peak_bytes
from un_lightning.results.results import read_summary


def parts(layers: int, tokens: int, device: torch.device) -> dict[str, Any]:
    """Median seconds of each part of a batch, for a pair of the tiny family's width."""
    family, context = random_family("tiny", 2, device, n_layer=layers), SHAPES["tiny"]["n_positions"]
    batch = random_batch(tokens // context, context, device=device)
    analysis = driven(CorrelationConfig(jackknife=0), family, batch)
    actions = {
        "forward": lambda: [analysis._read(name, batch) for name in analysis.reads],
        "sums": lambda: [
            analysis._add_alone(name, analysis.matrices[name].storage[:tokens], batch)
            for name in analysis.reads
        ],
        "products": lambda: own_products(
            analysis, {name: buffer.storage[:tokens] for name, buffer in analysis.matrices.items()}
        ),
    }
    turns = by_turns(actions, 5, Clock(device))
    medians = {name: statistics.median(seconds) for name, seconds in turns.items()}
    units = sum(analysis.units[name].count for name in analysis.reads)
    return {
        "units": units,
        "tokens": tokens,
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "share_of_products": round(medians["products"] / sum(medians.values()), 3),
        "tokens_per_second": round(tokens / sum(medians.values())),
    }


def memory(layers: int, device: torch.device) -> dict[str, Any]:
    """Peak of a pass of GPT-2 small's width and its end, in GB, against the plan."""
    family = random_family("gpt2_small", 2, device, n_layer=layers, vocab_size=4096, n_positions=128)
    batch = random_batch(16, 128, device=device)
    config = CorrelationConfig(draws=1)
    for model in family.models.values():  # what libraries and forward passes take is not the plan's business
        model.run(batch.tokens, {config.site: lambda _, __: None})
    before = peak_bytes(device)
    analysis = driven(config, family, batch)
    analysis.batches = 1
    analysis.add(batch)
    analysis.position, analysis.counted = 1, batch.count
    analysis.after_batch()
    analysis.end_pass()
    planned = plan_memory(
        replace(config, memory_gb=1e6), analysis.pairs, analysis.units,
        batch_tokens=batch.tokens.numel(), device=device, wide=torch.float32,
        devices=1, shares=1, processes=1,
    ).bytes  # fmt: skip
    measured = peak_bytes(device) - before
    return {
        "units": analysis.units["a"].count,
        "planned_gb": round(planned / 1e9, 3),
        "measured_gb": round(measured / 1e9, 3),
        "measured_over_planned": measured / planned,
    }


def ranks(tokens: int) -> dict[str, Any]:
    """Tokens per second of whole runs on one and on two CPU processes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for devices in (1, 2):
            trainer = "cpu" if devices == 1 else "ddp_cpu"
            place = Path(folder) / str(devices)
            command = [
                sys.executable, "experiments/run.py", "experiment=tiny/universality", f"trainer={trainer}",
                "trainer.threads=1", "logger=none", f"data.tokens={tokens}", f"run_dir={place}",
            ]  # fmt: skip
            subprocess.run(command, check=True, cwd=Path(__file__).parent.parent, capture_output=True)
            found[devices] = read_summary(place)["tokens_per_second"]
    return {"tokens_per_second": found, "two_over_one": found[2] / found[1]}


def main() -> None:
    """Measure, print, and keep the result."""
    parser = arguments(__doc__, quick="few and small sizes")
    parser.add_argument("--skip", nargs="*", choices=["parts", "memory", "ranks"], default=[])
    options = on_threads(parser, threads=None)
    device, quick = this_device(), options.quick
    ratios: dict[str, Ratio] = {}
    measured: dict[str, Any] = {}
    if "memory" not in options.skip:  # first, because a process remembers its largest size
        measured["memory"] = memory(1 if quick else 4, device)
        ratios["memory / plan"] = Ratio(measured["memory"].pop("measured_over_planned"), at_most=1)
    if "parts" not in options.skip:
        measured["layers"] = [parts(layers, 4096, device) for layers in ((1, 2) if quick else (1, 2, 4, 8))]
        measured["batch"] = [parts(4, size, device) for size in ((1024,) if quick else (1024, 4096, 16384))]
    if "ranks" not in options.skip:
        measured["ranks"] = ranks(20_000 if quick else 100_000)
        ratios["two processes / one"] = Ratio(measured["ranks"].pop("two_over_one"), at_least=1.5)
    conclude("scaling", ratios, measured, options, device)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
