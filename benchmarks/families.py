"""Cost of the families analysis: against a group-by of activations, and against the bare forward pass.

    python benchmarks/families.py [--quick] [--save benchmarks/results]

* group-by / sums: random activations of 500 neurons at a million tokens are compared with 200 labels, by the
  sums of this project, all of it, and by what the reference scripts do, a pandas group-by of a frame of
  activations for each label, of which a few labels and neurons are timed and the time is scaled to all of
  them (a group-by costs the same for every label and neuron). Both give the same reduction in variance, which
  is checked.
* first and second reading / bare forward: a GPT-2 of the tiny family's shape with random weights reads random
  tokens; every batch goes through the analysis and, right after, through the trunk alone. Medians.

One thread. The last line is one JSON object.
"""

import os
import time

import numpy as np
import pandas as pd
import torch
from against_forward import BLOCKS, Reading, read_against_forward
from keep import Ratio, arguments, conclude, on_threads
from random_models import SHAPES, TEXT_VOCABULARY, random_family

from un_lightning.analyses.families.analysis import FamiliesAnalysis
from un_lightning.config import FamiliesConfig
from un_lightning.stats.bags import Bags
from un_lightning.stats.by_token import ByToken
from un_lightning.stats.label_sums import LabelSums, label_correlations
from un_lightning.stats.moments import Moments


LABELS, NEURONS, TOKENS = 200, 500, 1_000_000
IN_CONTEXT = 50
"""Of the labels, those that are no property of the token alone and take a product."""
GROUPED_LABELS, GROUPED_NEURONS = 4, 50
"""What the group-by is timed on."""
CPU = torch.device("cpu")


def against_group_by(tokens: int) -> dict[str, float]:
    """Seconds for all labels and neurons, by sums and by group-by."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(tokens, NEURONS, generator=generator)
    weights = 1 / torch.arange(1, TEXT_VOCABULARY + 1)
    ids = torch.multinomial(weights, tokens, replacement=True, generator=generator)
    own = torch.rand(TEXT_VOCABULARY, LABELS - IN_CONTEXT, generator=generator) < 0.03
    context = torch.rand(tokens, IN_CONTEXT, generator=generator) < 0.1

    begun = time.perf_counter()
    by_token = ByToken(TEXT_VOCABULARY, [NEURONS], CPU, torch.float32, keep_maxima=False)
    sums, moments = LabelSums(IN_CONTEXT, NEURONS, CPU), Moments(1, NEURONS, CPU, order=2, firing=False)
    step, every = BLOCKS * SHAPES["tiny"]["n_positions"], slice(0, NEURONS)
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


def against_forward(batches: int, threads: int) -> tuple[FamiliesAnalysis, list[Reading]]:
    """Both readings of an analysis, each batch timed."""
    config = FamiliesConfig()
    config.labels.unigram_variants, config.labels.unigram_occurrences = 3, 20
    analysis = FamiliesAnalysis(config, random_family("tiny", 1), 0)
    readings, _ = read_against_forward(analysis, analysis.models["a"].model, batches, threads)
    return analysis, readings


def main() -> None:
    """Run the benchmark."""
    options = on_threads(arguments(__doc__, quick="a fifth of the tokens, and 12 batches"))
    tokens = TOKENS // 5 if options.quick else TOKENS
    labels = against_group_by(tokens)
    analysis, (first, second) = against_forward(12 if options.quick else 40, options.threads)
    conclude(
        "families",
        {
            "group-by / sums": Ratio(labels["ratio"], at_least=100),
            "first reading / bare forward": Ratio(first.ratio),
            "second reading / bare forward": Ratio(second.ratio),
        },
        {
            "sums_s": round(labels["sums_s"], 3),
            "group_by_s_scaled": round(labels["group_by_s"], 1),
            "group_by_s_timed": round(labels["timed_s"], 2),
            "group_by_timed_on": [GROUPED_LABELS, GROUPED_NEURONS],
            "labels": LABELS,
            "neurons": NEURONS,
            "tokens": tokens,
            "batch_and_forward_ms": [
                [round(part, 1) for part in one.milliseconds] for one in (first, second)
            ],
            "model_labels": analysis.labels.count,
            "model_neurons": analysis.models["a"].selection.count,
        },
        options,
    )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
