"""One small experiment for each analysis that streams, cheap enough to be broken in every way."""

from pathlib import Path

import numpy as np
from datasets import Dataset


CONTEXT = 16
BLOCKS = 24
BATCHES = 6
"""Batches of a pass over the text, in one process."""

ANALYSES = {
    "exact": ["experiment=tiny/universality", "analysis.candidates=64"],
    "screen": ["experiment=tiny/screen", "analysis.candidates=8"],
    "activations": ["experiment=tiny/activations", "analysis.bins=16", "analysis.profiles=4"],
    "weights": ["experiment=tiny/weights", "analysis.bins=10"],
    "families": [
        "experiment=tiny/families",
        "analysis.min_count=5",
        "analysis.labels.kinds=[letter,unigram]",
        "analysis.labels.unigram_occurrences=5",
        "analysis.shown=1",
    ],
    "prediction": [
        "experiment=tiny/prediction",
        "analysis.labels.kinds=[letter]",
        "analysis.random_directions=32",
        "analysis.follow=4",
    ],
    "entropy": [
        "experiment=tiny/entropy",
        "analysis.values=[0.0,2.0]",
        "analysis.baseline=2",
        "analysis.layers=1",
    ],
    "attention": [
        "experiment=tiny/attention",
        "analysis.top_pairs=2",
        "analysis.screen_tokens=8",
        "analysis.random_directions=8",
        "analysis.groups=2",
    ],
    "ablation": [
        "experiment=tiny/ablation",
        "analysis.neurons=[L0.1,L1.2]",
        "analysis.draws=1",
        "analysis.groups=2",
    ],
}
"""Overrides of each experiment that make it small."""

MODELS = [
    "models=random_tiny",
    "models.architecture.n_embd=8",
    "+models.architecture.n_inner=8",
]


def arguments(analysis: str, store: Path, *more: str) -> list[str]:
    """The command line of one small run over a store of blocks."""
    return [
        *ANALYSES[analysis],
        *MODELS,
        "data=store",
        f"data.path={store}",
        f"data.context={CONTEXT}",
        f"data.tokens={BLOCKS * CONTEXT}",
        f"data.batch_size={BLOCKS // BATCHES}",
        "logger=none",
        "trainer=cpu",
        "trainer.threads=1",
        "name=hard",
        *more,
    ]


def write_store(folder: Path, tokens: np.ndarray | None = None) -> Path:
    """Blocks of random tokens behind a BOS, or those given, as a table of `datasets`."""
    if tokens is None:
        tokens = np.random.default_rng(3).integers(1, 4096, (BLOCKS, CONTEXT))
        tokens[:, 0] = 0
        tokens[::4, 5] = 199
    Dataset.from_dict({"tokens": tokens.tolist()}).save_to_disk(str(folder))
    return folder
