"""Speed of the correlation pass, as ratios within one run.

    python benchmarks/correlation.py [--quick]

Three things are timed by turns on the same batches, so that a busy machine slows all of them alike:

* ours: the analysis itself (every model once, products, sums, within-layer products);
* physical: what cannot be avoided: a bare forward of each model, and one `torch.mm` a pair;
* reference: the published scripts' design, re-stated: for each pair both models run, layer-by-layer float32
  products are added into a float64 array on the host, and a second run does it all again with rotated
  activations for the baseline.

The last line is one JSON object.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from keep import conclude

from un_lightning.analyses.correlation import CorrelationAnalysis
from un_lightning.config import Baseline, CorrelationConfig, MemberConfig, ModelsConfig, ModelSource, Site
from un_lightning.data.loader import Batch
from un_lightning.models.family import Family
from un_lightning.models.loading import load_member
from un_lightning.stats.rotation import random_matrix


SHAPES = {
    "tiny": {"n_layer": 4, "n_embd": 128, "n_head": 4, "n_positions": 128, "vocab_size": 4096},
    "gpt2_small": {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 512, "vocab_size": 50257},
    "gpt2_medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16, "n_positions": 512, "vocab_size": 50257},
}


def random_family(shape: str, members: int, device: torch.device) -> Family:
    """Models of a true shape with random weights."""
    names = [chr(ord("a") + i) for i in range(members)]
    config = ModelsConfig(
        family=shape,
        source=ModelSource.random,
        members=[MemberConfig(name=name, seed=i) for i, name in enumerate(names)],
        reference="a",
        architecture={"model_type": "gpt2"} | SHAPES[shape],
    )
    models = {m.name: load_member(config, m).to(device) for m in config.members}
    return Family(shape, models, "a", None)


def make_batch(
    generator: torch.Generator, blocks: int, context: int, vocabulary: int, device: torch.device
) -> Batch:
    """Random tokens; the first of each block is not counted."""
    tokens = torch.randint(vocabulary, (blocks, context), generator=generator)
    counted = torch.ones_like(tokens, dtype=torch.bool)
    counted[:, 0] = False
    skipped = (~counted).flatten().nonzero().flatten()
    nothing = torch.zeros(blocks, dtype=torch.int64)
    return Batch(
        tokens.to(device),
        counted.to(device),
        skipped.to(device),
        torch.zeros_like(tokens).to(device),
        nothing.to(device),
        nothing.to(device),
        int(counted.sum()),
    )


class Ours:
    """The analysis, driven batch by batch."""

    def __init__(self, family: Family, pilot: Batch, config: CorrelationConfig) -> None:
        self.analysis = CorrelationAnalysis(config, family, seed=0)
        alone: Any = SimpleNamespace(global_rank=0, world_size=1, num_devices=1, datamodule=None)
        alone.datamodule = SimpleNamespace(total=pilot.count)
        self.analysis.trainer = alone
        self.analysis.to(pilot.tokens.device)
        self.analysis.begin(self.analysis.look(pilot))
        self.analysis.begin_pass()

    def __call__(self, batch: Batch) -> None:
        """One batch."""
        self.analysis.add(batch)


class Physical:
    """Bare forwards, and one product a pair at its own rate."""

    def __init__(self, family: Family, tokens: int) -> None:
        self.family = family
        sizes = {name: model.units(Site.mlp_post).count for name, model in family.models.items()}
        device = next(next(iter(family.models.values())).parameters()).device
        self.values = {name: torch.randn(tokens, size, device=device) for name, size in sizes.items()}
        reference = family.reference
        self.totals = {
            name: torch.zeros(sizes[reference], size, device=device)
            for name, size in sizes.items()
            if name != reference
        }

    @torch.no_grad()
    def forwards(self, batch: Batch) -> None:
        """Each model's trunk once."""
        for model in self.family.models.values():
            model.run(batch.tokens, {})

    @torch.no_grad()
    def products(self, batch: Batch) -> None:  # noqa: ARG002
        """One fused product a pair."""
        left = self.values[self.family.reference]
        for name, total in self.totals.items():
            total.addmm_(left.T, self.values[name])


class Reference:
    """Every pair by itself: both models run, layer products go to a float64 array on the host, twice."""

    def __init__(self, family: Family) -> None:
        self.family = family
        device = next(next(iter(family.models.values())).parameters()).device
        units = {name: model.units(Site.mlp_post).widths for name, model in family.models.items()}
        mine = units[family.reference]
        self.totals = {
            (name, turn): np.zeros((len(mine), len(theirs), mine[0], theirs[0]))
            for name, theirs in units.items()
            for turn in range(2)
            if name != family.reference
        }
        self.matrices = [
            random_matrix(Baseline.gaussian_rows, width, i, device) for i, width in enumerate(mine)
        ]

    @torch.no_grad()
    def __call__(self, batch: Batch) -> None:
        """One batch of every pair, plain and rotated."""
        for (name, turn), total in self.totals.items():
            left = self._layers(self.family.reference, batch)
            right = self._layers(name, batch)
            if turn:
                right = [layer @ matrix.T for layer, matrix in zip(right, self.matrices, strict=True)]
            for (i, one), (j, other) in itertools.product(enumerate(left), enumerate(right)):
                total[i, j] += (one.T @ other).cpu().numpy()

    def _layers(self, name: str, batch: Batch) -> list[torch.Tensor]:
        kept: dict[int, torch.Tensor] = {}
        sink = lambda layer, values: kept.__setitem__(layer, values.flatten(0, 1).clone())
        self.family.models[name].run(batch.tokens, {Site.mlp_post: sink})
        return [kept[layer] for layer in range(len(kept))]


def timed(action: Callable[[Batch], None], batch: Batch) -> float:
    """Seconds of one call."""
    if batch.tokens.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    action(batch)
    if batch.tokens.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(shape: str, members: int, blocks: int, context: int, rounds: int, device: torch.device) -> dict:
    """Median seconds a batch of each part, by turns."""
    generator = torch.Generator().manual_seed(0)
    family = random_family(shape, members, device)
    batch = make_batch(generator, blocks, context, SHAPES[shape]["vocab_size"], device)
    ours = Ours(family, batch, CorrelationConfig(jackknife=0))
    physical, reference = Physical(family, batch.tokens.numel()), Reference(family)
    parts = {
        "ours": ours, "forwards": physical.forwards, "products": physical.products, "reference": reference,
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(rounds + 1):
        for name, action in parts.items():
            spent = timed(action, batch)
            if turn > 0:
                seconds[name].append(spent)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    tokens = batch.tokens.numel()
    return {
        "shape": shape,
        "members": members,
        "tokens_a_batch": tokens,
        "seconds": {name: round(value, 4) for name, value in median.items()},
        "tokens_per_second": round(tokens / median["ours"]),
        "ours_over_physical": round(median["ours"] / (median["forwards"] + median["products"]), 3),
        "reference_over_ours": round(median["reference"] / median["ours"], 2),
    }


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two rounds of the tiny shape")
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--save", type=Path, help="folder for the dated result")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rounds = 2 if options.quick else options.rounds
    context = SHAPES[options.shape]["n_positions"]
    results = []
    for members in (2, 5) if options.shape == "tiny" else (2,):
        results.append(measure(options.shape, members, 4096 // context, context, rounds, device))
        print(json.dumps(results[-1], indent=1))
    conclude("correlation", {"results": results}, options.save)


if __name__ == "__main__":
    main()
