"""The verb `train`: one seed of a small language model, or a tokenizer, from a config to a folder."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from un_lightning import __version__
from un_lightning.config import Config, DataConfig, LanguageModelConfig, Part, TokenizerConfig
from un_lightning.data.loader import BlockBatches, reading_order
from un_lightning.data.prepare import prepare_store, special_ids
from un_lightning.data.store import Store
from un_lightning.data.stream import loader
from un_lightning.errors import UserError
from un_lightning.files import atomic_write
from un_lightning.models.tokenizers import load_tokenizer
from un_lightning.results.results import Results
from un_lightning.training.bpe import train_tokenizer
from un_lightning.training.language_model import FromStep, SmallGPT2, save_half, training_order


class KeepCheckpoints(Callback):
    """Saves the model at steps that are evenly spaced in their logarithm, 1 and the last included."""

    def __init__(self, folder: Path, steps: int, count: int, tokenizer: PreTrainedTokenizerBase) -> None:
        self.folder = folder
        self.wanted = set(np.geomspace(1, steps, count).round().astype(int).tolist()) if count else set()
        self.tokenizer = tokenizer

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Write `step-000512/` if this step is one of those wanted."""
        assert isinstance(pl_module, SmallGPT2)
        if trainer.global_step in self.wanted and trainer.is_global_zero:
            folder = self.folder / f"step-{trainer.global_step:06d}"
            save_half(pl_module.model, folder)
            self.tokenizer.save_pretrained(folder)


class TrainingBlocks(pl.LightningDataModule):
    """Training blocks in seeded order from the step of the checkpoint on, and held-out blocks."""

    def __init__(self, training: BlockBatches, held_out: BlockBatches) -> None:
        super().__init__()
        self.training, self.held_out = training, held_out

    def train_dataloader(self) -> FromStep:
        """All batches of the training, begun where a resumed one stopped."""
        assert self.trainer is not None
        return FromStep(self.training, self.trainer.global_step)

    def val_dataloader(self) -> DataLoader:
        """The held-out batches."""
        return loader(self.held_out)


def run_training(config: Config, run_dir: Path, trainer: Callable[..., pl.Trainer], resumed: bool) -> Results:
    """Train what `config.training` names and save it in `run_dir/model` or `run_dir/tokenizer`.

    Raises:
        UserError: No tokenizer is given, or the source has too little text.
    """
    started = time.monotonic()
    if isinstance(config.training, TokenizerConfig):
        read = train_tokenizer(config.data, config.training, run_dir / "tokenizer")
        results = Results(scalars={f"characters/{subset}": n for subset, n in read.items()})
        results.headline = [("Tokenizer", str(run_dir / "tokenizer"))]
        return results
    assert isinstance(config.training, LanguageModelConfig)
    if config.data.tokenizer is None:
        raise UserError("training needs data.tokenizer, a hub id or a folder")
    tokenizer = load_tokenizer(config.data.tokenizer)
    recipe, context = config.training, config.data.context
    bos, eos = special_ids(tokenizer)
    training, stores = _blocks(config, tokenizer, eos)
    pl.seed_everything(config.seed, verbose=False)
    model = SmallGPT2(recipe, len(tokenizer), context, bos, eos)
    interval = max(1, recipe.steps // 6)
    engine = trainer(
        callbacks=[
            ModelCheckpoint(run_dir / "partial", every_n_train_steps=interval, save_last=True, save_top_k=1),
            KeepCheckpoints(run_dir / "checkpoints", recipe.steps, recipe.checkpoints, tokenizer),
        ],
        max_epochs=1,
        precision=recipe.precision,
        gradient_clip_val=recipe.gradient_clip,
        val_check_interval=interval,
        log_every_n_steps=20,
        enable_checkpointing=True,
        num_sanity_val_steps=0,
    )
    last = run_dir / "partial" / "last.ckpt"
    # weights_only stays on: a checkpoint of ours holds tensors and numbers alone.
    engine.fit(model, datamodule=training, ckpt_path=last if resumed and last.exists() else None)
    if engine.interrupted or engine.global_step < recipe.steps:
        next_time = f"go on with resume={run_dir}" if last.exists() else "no checkpoint is saved yet"
        raise UserError(f"training stopped at step {engine.global_step}: {next_time}")
    save_half(model.model, run_dir / "model")
    tokenizer.save_pretrained(run_dir / "model")
    loss = float(engine.callback_metrics["val/loss"])
    tokens = recipe.steps * recipe.batch_size * context
    card = {
        "loss": round(loss, 4),
        "steps": recipe.steps,
        "tokens": tokens,
        "epochs": round(recipe.steps * recipe.batch_size / stores["train"].blocks, 3),
        "seed": config.seed,
        "recipe": dataclasses.asdict(recipe),
        "tokens_by_subset": {
            part: {s: n * context for s, n in store.manifest.get("subsets", {}).items()}
            for part, store in stores.items()
        },
        "device": str(model.device),
        "torch": torch.__version__,
        "version": __version__,
    }
    atomic_write(run_dir / "model" / "card.json", json.dumps(card, indent=1))
    results = Results(scalars={"val/loss": loss, "tokens": tokens, "seconds": time.monotonic() - started})
    results.headline = [
        ("Held-out loss", f"{loss:.3f} nats a token (perplexity {math.exp(loss):.1f})"),
        ("Model", str(run_dir / "model")),
    ]
    return results


def _blocks(
    config: Config, tokenizer: PreTrainedTokenizerBase, eos: int
) -> tuple[TrainingBlocks, dict[str, Store]]:
    """Batches for training and for validation, from two parts of the source that never meet."""
    recipe = config.training
    parts: dict[str, DataConfig] = {
        "train": dataclasses.replace(config.data, part=Part.train),
        "held_out": dataclasses.replace(config.data, part=Part.held_out, tokens=recipe.validation_tokens),
    }
    stores = {name: Store(prepare_store(data, tokenizer)) for name, data in parts.items()}
    order = training_order(stores["train"].blocks, recipe.steps * recipe.batch_size, config.seed)
    held_out = reading_order(stores["held_out"].blocks, stores["held_out"].blocks, seed=0)
    blocks = TrainingBlocks(
        BlockBatches(stores["train"], order, recipe.batch_size, (), eos),
        BlockBatches(stores["held_out"], held_out, recipe.batch_size, (), eos),
    )
    return blocks, stores
