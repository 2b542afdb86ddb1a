"""Every shipped experiment runs to its end: on few tokens, with random models two layers deep."""

import functools
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.faults.table import leave_out
from un_lightning import cli
from un_lightning.mistakes import experiments


EXPERIMENTS = experiments([cli.configs_folder()])
PUBLISHED = Path(__file__).parents[2] / "shared" / "published"
LAYERS, NEURONS, HEADS = 2, 64, 2
NARROW_GPT2 = {"n_layer": LAYERS, "n_embd": 16, "n_head": HEADS, "vocab_size": 4096}
NARROW = {
    "un_tiny": {"+model_type": "gpt2", "+n_positions": 128, **{f"+{key}": value for key, value in NARROW_GPT2.items()}},
    "stanford_gpt2_small": NARROW_GPT2,
    "stanford_gpt2_medium": NARROW_GPT2,
    "pythia_160m": {
        "num_hidden_layers": LAYERS, "hidden_size": 16, "intermediate_size": NEURONS,
        "num_attention_heads": HEADS, "vocab_size": 4096,
    },
}  # fmt: skip
"""What is small of the architecture of each family that is not shipped with its weights."""
TEXT = [
    "data=files", "data.path=text.jsonl", "data.subset_column=subset", "data.min_characters=0", "data.part=all",
    "data.context=32", "data.tokens=800", "data.batch_size=8", "trainer=cpu", "trainer.threads=1",
    "logger=none",
]  # fmt: skip
FEWER = {
    "correlation": ["threshold=0"],  # what random models share is what chance shares
    "families": ["min_count=10", "shown=1", "labels.unigram_occurrences=10"],
    "prediction": ["random_directions=64", "follow=2", "groups=4"],
    "entropy": ["baseline=1"],
    "attention": ["first=4", "random_directions=32"],
    "ablation": ["threshold=0", "draws=1", "top=8"],
}
"""Settings of the analyses that the size of the models or the length of the text forbids."""
PARTS = {
    "neuron_table": ["correlation", "activations", "weights"],
    "emergence": ["correlation"],
    "replicate": ["neuron_table", "families", "prediction", "entropy", "attention", "ablation"],
}


def settings(kind, prefix="analysis"):
    own = [f"{prefix}.{setting}" for setting in FEWER.get(kind, [])]
    return own + [one for part in PARTS.get(kind, []) for one in settings(part, f"{prefix}.{part}")]
