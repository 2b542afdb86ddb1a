"""Models of true shapes with random weights, and random text for them: a speed needs no more."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from transformers import PreTrainedModel

from un_lightning.config import DataConfig, DataSource, MemberConfig, ModelsConfig, ModelSource
from un_lightning.data.loader import Batch
from un_lightning.models.family import Family
from un_lightning.models.loading import load_member
from un_lightning.models.tokenizers import load_tokenizer


TOKENIZER = "bundled:un_tiny/tokenizer"
TEXT_VOCABULARY = 4096
"""Ids of that tokenizer; models with a larger vocabulary read these alone."""
TINY = {"n_layer": 4, "n_embd": 128, "n_head": 4, "n_positions": 128, "vocab_size": 4096}
SHAPES: dict[str, dict[str, Any]] = {
    # As the shipped family, whose GELU is one operation in transformers, too; and with GPT-2's own GELU.
    "tiny": {**TINY, "activation_function": "gelu_pytorch_tanh"},
    "tiny_gpt2": TINY,
    "gpt2_small": {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 512, "vocab_size": 50257},
    "gpt2_medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16, "n_positions": 512, "vocab_size": 50257},
}


def random_family(shape: str, members: int, device: torch.device | None = None, **changes: Any) -> Family:
    """GPT-2s a, b, … that differ by seed.

    Args:
        shape: One of `SHAPES`.
        members: How many; the first is the reference.
        device: Where they shall be.
        changes: Of the shape, such as `n_layer=2`.
    """
    names = [chr(ord("a") + number) for number in range(members)]
    config = ModelsConfig(
        family=shape,
        source=ModelSource.random,
        members=[MemberConfig(name=name, seed=seed) for seed, name in enumerate(names)],
        reference="a",
        architecture={"model_type": "gpt2", "bos_token_id": 0, "eos_token_id": 0} | SHAPES[shape] | changes,
    )
    models = {member.name: load_member(config, member).to(device) for member in config.members}
    return Family(shape, models, "a", load_tokenizer(TOKENIZER))


def plain_modules(family: Family) -> dict[str, PreTrainedModel]:
    """The members as transformers itself builds and runs them, where the others are."""
    found = {}
    for name, model in family.models.items():
        module: Any = model.module
        plain = type(module)(module.config).eval().requires_grad_(False)
        plain.load_state_dict(module.state_dict())
        found[name] = plain.to(module.device)
    return found


def random_batch(blocks: int, context: int, seed: int = 0, device: torch.device | None = None) -> Batch:
    """Random tokens; the first of each block is not counted."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, TEXT_VOCABULARY, (blocks, context), generator=generator)
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


def random_text(folder: Path, blocks: int, context: int, batch_size: int) -> DataConfig:
    """A store of random tokens of Zipf frequencies in six subsets, all of which is to be read."""
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, TEXT_VOCABULARY)
    tokens = generator.choice(np.arange(1, TEXT_VOCABULARY), (blocks, context), p=weights / weights.sum())
    tokens[:, 0] = 0
    disable_progress_bars()
    subsets = [f"subset{index}" for index in generator.integers(6, size=blocks)]
    Dataset.from_dict({"tokens": tokens.tolist(), "subset": subsets}).save_to_disk(folder / "blocks")
    return DataConfig(
        source=DataSource.store,
        path=str(folder / "blocks"),
        context=context,
        tokens=blocks * context,
        batch_size=batch_size,
    )
