"""Cost of the families analysis: against a group-by of activations, and against the bare forward pass.

    python benchmarks/families.py [--quick]

First, random activations of 500 neurons at a million tokens are compared with 200 labels: by the sums of this
project, all of it, and by what the reference scripts do, a pandas group-by of a frame of activations for each
label, of which a few labels and neurons are timed and the time is scaled to all of them (a group-by costs the
same for every label and neuron). Both give the same reduction in variance, which is checked. Then a GPT-2 of
the tiny family's shape with random weights reads random tokens; every batch goes through both readings of the
analysis and, right after, through the trunk alone. One thread. The last line is one JSON object.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from keep import conclude

from un_lightning.analyses.families import FamiliesAnalysis
from un_lightning.config import (
    DataConfig,
    DataSource,
    FamiliesConfig,
    MemberConfig,
    ModelsConfig,
    ModelSource,
    TrainerConfig,
)
from un_lightning.lightning import make_trainer
from un_lightning.models.family import load_family
from un_lightning.stats.bags import Bags
from un_lightning.stats.by_token import ByToken
from un_lightning.stats.label_sums import LabelSums, label_correlations
from un_lightning.stats.moments import Moments


VOCABULARY, CONTEXT, BATCH = 4096, 128, 32
SHAPE = {"model_type": "gpt2", "n_layer": 4, "n_embd": 128, "n_head": 4}
LABELS, NEURONS, TOKENS = 200, 500, 1_000_000
IN_CONTEXT = 50
"""Of the labels, those that are no property of the token alone and take a product."""
GROUPED_LABELS, GROUPED_NEURONS = 4, 50
"""What the group-by is timed on."""
CPU = torch.device("cpu")


class TimedAnalysis(FamiliesAnalysis):
    """Times each batch of both readings, and the bare forward pass of the same batch."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seconds: dict[int, list[tuple[float, float]]] = {0: [], 1: []}

    def add(self, batch: Any) -> None:
        """Add a batch; run it once more for nothing."""
        begun = time.perf_counter()
        super().add(batch)
        added = time.perf_counter()
        self.models["a"].model.run(batch.tokens, {})
        self.seconds[self.current].append((added - begun, time.perf_counter() - added))


def against_group_by(tokens: int) -> dict[str, float]:
    """Seconds for all labels and neurons, by sums and by group-by."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(tokens, NEURONS, generator=generator)
    weights = 1 / torch.arange(1, VOCABULARY + 1)
    ids = torch.multinomial(weights, tokens, replacement=True, generator=generator)
    own = torch.rand(VOCABULARY, LABELS - IN_CONTEXT, generator=generator) < 0.03
    context = torch.rand(tokens, IN_CONTEXT, generator=generator) < 0.1

    begun = time.perf_counter()
    by_token = ByToken(VOCABULARY, [NEURONS], CPU, torch.float32, keep_maxima=False)
    sums, moments = LabelSums(IN_CONTEXT, NEURONS, CPU), Moments(1, NEURONS, CPU, order=2, firing=False)
    step, every = BATCH * CONTEXT, slice(0, NEURONS)
    for start in range(0, tokens, step):
        part, labels = values[start : start + step], context[start : start + step]
        bags = Bags.of(ids[start : start + step], torch.arange(len(part)))
        by_token.add_tokens(bags.group)
        by_token.add(0, part, bags)
        sums.add_labels(labels)
        sums.add(every, labels.T.float(), part)
        moments.add(0, every, part)
    shape = moments.shape(torch.zeros(NEURONS))
    totals = torch.cat([own.T.double() @ by_token.tensors["sum000"].double(), sums.sum])
    counts = torch.cat([(own.long() * by_token.count[:, None]).sum(0), sums.count])
    found = label_correlations(totals, counts, tokens, shape.mean, shape.var).square().numpy()
    ours = time.perf_counter() - begun

    frame = pd.DataFrame(values[:, :GROUPED_NEURONS].double().numpy())  # float32 loses digits in pandas
    chosen = [0, 1, LABELS - 2, LABELS - 1][:GROUPED_LABELS]
    begun = time.perf_counter()
    expected = []
    for label in chosen:
        having = (own[ids, label] if label < own.shape[1] else context[:, label - own.shape[1]]).numpy()
        groups = frame.groupby(having)
        shares = groups.size() / tokens
        left = groups.var(ddof=0).mul(shares, axis=0).sum()
        expected.append(1 - left / frame.var(ddof=0))
    grouped = time.perf_counter() - begun
    np.testing.assert_allclose(found[chosen, :GROUPED_NEURONS], np.stack(expected), atol=1e-6)
    scaled = grouped * LABELS / len(chosen) * NEURONS / GROUPED_NEURONS
    return {"sums_s": ours, "group_by_s": scaled, "ratio": scaled / ours, "timed_s": grouped}


def against_forward(batches: int) -> TimedAnalysis:
    """Both readings of an analysis, each batch timed."""
    family = load_family(
        ModelsConfig(
            family="random",
            source=ModelSource.random,
            members=[MemberConfig(name="a", seed=0)],
            reference="a",
            architecture=SHAPE | {"vocab_size": VOCABULARY, "n_positions": CONTEXT}
            | {"bos_token_id": 0, "eos_token_id": 0},
            tokenizer="bundled:un_tiny/tokenizer",
        )
    )  # fmt: skip
    config = FamiliesConfig()
    config.labels.unigram_variants, config.labels.unigram_occurrences = 3, 20
    analysis = TimedAnalysis(config, family, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blocks"
        _write_store(path, batches * BATCH)
        data = DataConfig(
            source=DataSource.store,
            path=str(path),
            context=CONTEXT,
            tokens=batches * BATCH * CONTEXT,
            batch_size=BATCH,
        )
        trainer = make_trainer(TrainerConfig(accelerator="cpu", threads=1), None, Path(folder))
        stream = analysis.stream(data)
        while not analysis.complete:
            trainer.validate(analysis, datamodule=stream, verbose=False)
    return analysis


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the tokens, and 12 batches")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    tokens = TOKENS // 5 if quick else TOKENS
    labels = against_group_by(tokens)
    pairs = 1e9 / (LABELS * NEURONS)
    print(f"{LABELS} labels x {NEURONS} neurons x {tokens:,} tokens")
    for name, key in (("sums", "sums_s"), ("group-by (scaled)", "group_by_s")):
        print(f"{name:32} {labels[key]:10.2f} s {labels[key] * pairs:14,.0f} ns a label and neuron")
    print(f"{'ratio':32} {labels['ratio']:10.0f}   at least 100")
    analysis = against_forward(12 if quick else 40)
    ratios = {}
    for number, name in ((0, "first"), (1, "second")):
        steady = analysis.seconds[number][2:]
        ratios[name] = statistics.median(added / bare for added, bare in steady)
        milliseconds = [1e3 * statistics.median(column) for column in zip(*steady, strict=True)]
        print(
            f"{f'{name} reading / bare forward':32} {ratios[name]:10.2f}   "
            f"({milliseconds[0]:.0f} ms / {milliseconds[1]:.0f} ms a batch of 4,096 tokens)"
        )
    conclude(
        "families",
        {
            "ratio": round(labels["ratio"], 1),
            "budget": 100,
            "sums_s": round(labels["sums_s"], 3),
            "group_by_s_scaled": round(labels["group_by_s"], 1),
            "group_by_s_timed": round(labels["timed_s"], 2),
            "group_by_timed_on": [GROUPED_LABELS, GROUPED_NEURONS],
            "labels": LABELS,
            "neurons": NEURONS,
            "tokens": tokens,
            "forward_ratio_first": round(ratios["first"], 3),
            "forward_ratio_second": round(ratios["second"], 3),
            "model_labels": analysis.labels.count,
            "model_neurons": analysis.models["a"].selection.count,
        },
    )


def _write_store(path: Path, blocks: int) -> None:
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, VOCABULARY)
    tokens = generator.choice(np.arange(1, VOCABULARY), (blocks, CONTEXT), p=weights / weights.sum())
    tokens[:, 0] = 0
    subsets = [f"subset{index}" for index in generator.integers(6, size=blocks)]
    Dataset.from_dict({"tokens": tokens.tolist(), "subset": subsets}).save_to_disk(path)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
