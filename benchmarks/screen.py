"""Screening against the exact method and the published design: time, recall, and a run end to end.

    python benchmarks/screen.py [--quick] [--save benchmarks/results]
    python benchmarks/screen.py --shape gpt2_medium                   # on a GPU

**Statistics.** Synthetic activations of two models that share latents (sparse, alike within a block) need no
models: what is timed is statistics alone. Screening runs over the whole stream. The exact method is timed on
its first batches, and its products, which cost the same for every batch, are counted for the whole stream;
the work after its pass is timed once and added. With --strip, for machines that cannot hold all products,
only the first layer of the first model is multiplied with all of the second, which is counted for every
layer, and the work after the pass is left out, to the exact method's favour. Which partner is the best over
the whole stream is known for some units of the first model, whose correlations with all units of the second
are summed beside the timing.

* statistics, exact / screen: seconds of either;
* statistics, recall: share of the units with a correlation above 0.3 whose true best partner was found.

**End to end.** Both methods run on two members of the tiny family, or with --shape on two random models of
that shape, with reading, models, statistics and report. The published design (`published_design.py`) and the
bare forward passes are timed on some batches, and counted for all.

* run, published / screen; run, exact / screen; run, screen / bare forwards: seconds of either.

On the CPU processor time is counted, which other programs on the machine do not change much; on CUDA it is
the time on the clock. The last line is one JSON object.
"""

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clock import Clock, by_turns
from keep import Found, Ratio, arguments, conclude, on_threads, this_device
from physical import BareForwards
from planted import BATCH, CONTEXT
from published_design import PublishedDesign
from random_models import SHAPES, random_batch, random_family, random_text
from screen_statistics import statistics_only

from un_lightning.analyses import make_analysis
from un_lightning.config import (
    CorrelationConfig,
    DataConfig,
    Gemm,
    MemberConfig,
    Method,
    ModelsConfig,
    ModelSource,
    Part,
    TrainerConfig,
)
from un_lightning.lightning import make_trainer
from un_lightning.models.family import Family, load_family


def end_to_end(tokens: int, options: Any, device: torch.device) -> Found:
    """Both methods on two models: reading, models, statistics and report."""
    blocks = BATCH // CONTEXT
    clock = Clock(device, processor=True)
    with tempfile.TemporaryDirectory() as place:
        if options.shape:
            family = random_family(options.shape, 2)
            data = random_text(Path(place), tokens // CONTEXT, CONTEXT, blocks)
        else:
            family = shipped_pair()
            data = DataConfig(part=Part.held_out, context=CONTEXT, tokens=tokens, batch_size=blocks)
        tables, scalars = {}, {}
        for method in (Method.screen, Method.exact):
            config = CorrelationConfig(
                method=method,
                gemm=options.gemm,
                candidates=options.candidates,
                confidence=0.99,
                jackknife=0,
                measures=[],
            )
            analysis = make_analysis(config, family, 0)
            stream = analysis.stream(data)
            stream.prepare_data()
            setting = TrainerConfig(accelerator="gpu" if device.type == "cuda" else "cpu")
            trainer = make_trainer(setting, None, Path(place))
            with clock(method):
                while not analysis.complete:
                    trainer.validate(analysis, datamodule=stream, verbose=False)
            assert analysis.results is not None
            scalars |= {f"{method}/{name}": value for name, value in analysis.results.scalars.items()}
            tables[method] = analysis.results.tables
    batches = tokens / BATCH
    parts = {name: each * batches for name, each in seconds_a_batch(family, device).items()}
    screen = clock.seconds[Method.screen]
    ratios = {"run, exact / screen": Ratio(clock.seconds[Method.exact] / screen)}
    if "published" in parts:
        ratios["run, published / screen"] = Ratio(parts["published"] / screen, at_least=4)
    within = 1.5 if device.type == "cuda" else None
    ratios["run, screen / bare forwards"] = Ratio(screen / parts["forwards"], at_most=within)
    return ratios, {
        "shape": options.shape or "tiny, trained",
        "tokens": tokens,
        "candidates": options.candidates,
        "seconds": {str(method): round(value, 1) for method, value in clock.seconds.items()},
        "seconds_scaled": {name: round(value, 1) for name, value in parts.items()},
        "certified_percent": scalars["screen/screen/certified_percent"],
        **compare(tables[Method.screen], tables[Method.exact]),
    }


def shipped_pair() -> Family:
    """Members a and b of the tiny family."""
    members = [MemberConfig(name=name, path=f"bundled:un_tiny/{name}") for name in "ab"]
    return load_family(
        ModelsConfig("un-tiny", ModelSource.local, members, "a", tokenizer="bundled:un_tiny/tokenizer")
    )


def seconds_a_batch(family: Family, device: torch.device) -> dict[str, float]:
    """What the published design and the bare forward passes take for a batch."""
    for model in family.models.values():
        model.to(device)  # Lightning takes them away from the device when it is done
    batch = random_batch(BATCH // CONTEXT, CONTEXT, device=device)
    bare = BareForwards(family)
    actions = {"forwards": lambda: bare.run(batch)}
    if PublishedDesign.fits(family):
        published = PublishedDesign(family, device)
        actions["published"] = lambda: published.add(batch)
    turns = by_turns(actions, 3, Clock(device, processor=True))
    return {name: statistics.median(seconds) for name, seconds in turns.items()}


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
    parser = arguments(__doc__, quick="2 layers of 256 units and a short stream")
    parser.add_argument("--layers", type=int, default=12, help="of the synthetic models")
    parser.add_argument("--width", type=int, default=3072, help="units a layer")
    parser.add_argument("--tokens", type=int, default=1_048_576, help="of synthetic activations")
    parser.add_argument("--sample", type=int, default=8192, help="tokens of the sample")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--draws", type=int, default=1, help="of the rotation baseline")
    parser.add_argument("--gemm", type=Gemm, default=Gemm.float32, choices=[Gemm.float32, Gemm.bfloat16])
    parser.add_argument("--truth-rows", type=int, default=1024, help="units whose best partner is known")
    parser.add_argument("--exact-batches", type=int, default=1, help="on which the exact method is timed")
    parser.add_argument("--strip", action="store_true", help="time a part of the exact products")
    parser.add_argument("--shape", choices=SHAPES, help="of random models for the run end to end")
    parser.add_argument("--family-tokens", type=int, default=400_000, help="of the run end to end")
    parser.add_argument("--skip", choices=["statistics", "end_to_end"], action="append", default=[])
    options = on_threads(parser)
    device = this_device()
    if options.quick:
        options.layers, options.width = 2, 256
        options.tokens = options.family_tokens = 65_536
    ratios: dict[str, Ratio] = {}
    measured: dict[str, Any] = {}
    parts: dict[str, Callable[[], Found]] = {
        "statistics": lambda: statistics_only(options.layers, options.width, options.tokens, options, device),
        "end_to_end": lambda: end_to_end(options.family_tokens, options, device),
    }
    chosen = [name for name in parts if name not in options.skip]
    for name in chosen:
        found, measured[name] = parts[name]()
        ratios |= found
    conclude("-".join(["screen", *(chosen if options.skip else [])]), ratios, measured, options, device)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
