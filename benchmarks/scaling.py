"""How the correlation pass grows with units, tokens and ranks, what it is made of, and the memory it takes.

    python benchmarks/scaling.py [--quick] [--skip ranks]

* parts: seconds of a batch spent in the models' forward passes (with the copy into the matrices), in the
  products of pairs, and in the sums of each model, for growing numbers of layers and of tokens a batch;
* memory: the peak of a pass and its end, against what the plan said before it;
* ranks: tokens per second of a whole run with one and with two CPU processes of one thread each.

The last line is one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from correlation import SHAPES, Ours, make_batch, random_family
from keep import conclude

from un_lightning.analyses.correlation_memory import batch_bytes, entry_bytes, lasting_bytes, tile_bytes
from un_lightning.config import CorrelationConfig
from un_lightning.results import read_summary


def parts(layers: int, tokens: int, device: torch.device) -> dict[str, Any]:
    """Median seconds of each part of a batch, for a pair of the tiny family's width."""
    SHAPES["scaled"] = SHAPES["tiny"] | {"n_layer": layers}
    family = random_family("scaled", 2, device)
    context = SHAPES["scaled"]["n_positions"]
    batch = make_batch(torch.Generator().manual_seed(0), tokens // context, context, 4096, device)
    analysis = Ours(family, batch, CorrelationConfig(jackknife=0)).analysis
    actions = {
        "forward": lambda: [analysis._read(name, batch) for name in analysis.reads],
        "sums": lambda: [
            analysis._add_alone(name, analysis.matrices[name].storage[:tokens]) for name in analysis.reads
        ],
        "products": lambda: [
            product.add(*(analysis.matrices[name].storage[:tokens] for name in block.pair))
            for block, product in analysis.products.items()
        ],
    }
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(6):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: sorted(values)[len(values) // 2] for name, values in seconds.items()}
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
    SHAPES["deep"] = SHAPES["gpt2_small"] | {"n_layer": layers, "vocab_size": 1000, "n_positions": 128}
    family = random_family("deep", 2, device)
    batch = make_batch(torch.Generator().manual_seed(0), 16, 128, 1000, device)
    config = CorrelationConfig(draws=1)
    for (
        model
    ) in family.models.values():  # what the libraries and a forward pass take is not the plan's business
        model.run(batch.tokens, {config.site: lambda _, __: None})
    before = _peak(device)
    analysis = Ours(family, batch, config).analysis
    analysis.batches = 1
    analysis.add(batch)
    analysis.position, analysis.counted = 1, batch.count
    analysis.after_batch()
    analysis.end_pass()
    units, pairs, wide = analysis.units, analysis.pairs, torch.float32
    planned = lasting_bytes(config, pairs, units, wide, 1, 1) + max(
        batch_bytes(config, units, batch.tokens.numel(), device, wide), tile_bytes(config, units, wide)
    )
    planned += entry_bytes(config, wide) * units["a"].count * units["b"].count
    measured = _peak(device) - before
    return {
        "units": units["a"].count,
        "planned_gb": round(planned / 1e9, 3),
        "measured_gb": round(measured / 1e9, 3),
        "measured_over_planned": round(measured / planned, 3),
    }


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
    return {"tokens_per_second": found, "two_over_one": round(found[2] / found[1], 3)}


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and small sizes")
    parser.add_argument("--skip", nargs="*", choices=["parts", "memory", "ranks"], default=[])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--save", type=Path, help="folder for the dated result")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report: dict[str, Any] = {}
    if "memory" not in options.skip:  # first, because a process remembers its largest size
        report["memory"] = memory(1 if options.quick else 4, device)
    if "parts" not in options.skip:
        report["layers"] = [
            parts(layers, 4096, device) for layers in ((1, 2) if options.quick else (1, 2, 4, 8))
        ]
        report["batch"] = [
            parts(4, tokens, device) for tokens in ((1024,) if options.quick else (1024, 4096, 16384))
        ]
    if "ranks" not in options.skip:
        report["ranks"] = ranks(20_000 if options.quick else 100_000)
    print(json.dumps(report, indent=1))
    conclude("scaling", report, options.save)


if __name__ == "__main__":
    main()
