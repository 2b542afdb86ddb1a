"""The verb `train`: seeds of a small language model, or a tokenizer, from a config to a folder."""

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
from transformers import PreTrainedTokenizerBase

from un_lightning import __version__
from un_lightning.config import Config, DataConfig, LanguageModelConfig, Part, TokenizerConfig
from un_lightning.data.prepare import prepare_store, special_ids
from un_lightning.data.store import Store
from un_lightning.errors import UserError
from un_lightning.files import atomic_write
from un_lightning.models.tokenizers import load_tokenizer
from un_lightning.progress import Meter
from un_lightning.results.results import Results
from un_lightning.terminal import note, say
from un_lightning.training.blocks import Blocks, FromStep, all_tokens
from un_lightning.training.bpe import train_tokenizer
from un_lightning.training.language_model import LOG_EVERY, SmallGPT2s, new_model, save_half
from un_lightning.training.stop import StopInGoodOrder


class KeepCheckpoints(Callback):
    """Saves the models at steps that are evenly spaced in their logarithm, 1 and the last included."""

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
        """Write `step-000512/` of each member if this step is one of those wanted."""
        assert isinstance(pl_module, SmallGPT2s)
        if trainer.global_step in self.wanted and trainer.is_global_zero:
            for name, model in pl_module.named_members():
                folder = self.folder / name / f"step-{trainer.global_step:06d}"
                save_half(model, folder)
                self.tokenizer.save_pretrained(folder)


class ShowSteps(Callback):
    """Shows how far the training is, and says when it measures the held-out loss."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.meter: Meter | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Begin where the training does; a resumed one has steps behind it."""
        self.meter = Meter("Training", self.steps, trainer.global_step, "steps")
        note(f"training {self.steps - trainer.global_step:,} steps …")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Count a step."""
        assert self.meter is not None
        self.meter.advance(1)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Reading held-out text takes a while of its own."""
        note(f"measuring the held-out loss at step {trainer.global_step:,} …")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Leave the bar as it is."""
        assert self.meter is not None
        self.meter.close()


class Steps(pl.LightningDataModule):
    """The steps that are left from the checkpoint on, and the held-out batches."""

    def __init__(self, blocks: Blocks, steps: int) -> None:
        super().__init__()
        self.blocks, self.steps = blocks, steps

    def train_dataloader(self) -> FromStep:
        """All steps of the training, begun where a resumed one stopped."""
        assert self.trainer is not None
        return FromStep(self.trainer.global_step, self.steps)

    def val_dataloader(self) -> list[int]:
        """Where held-out batches begin."""
        return self.blocks.held_out_starts()


def run_training(config: Config, run_dir: Path, trainer: Callable[..., pl.Trainer], resumed: bool) -> Results:
    """Train what `config.training` names and save it in `run_dir/model` or `run_dir/tokenizer`.

    Several members lie in `run_dir/model/seed-<seed>`.

    Raises:
        UserError: No tokenizer is given, the source has too little text, or the training failed.
    """
    if isinstance(config.training, TokenizerConfig):
        read = train_tokenizer(config.data, config.training, run_dir / "tokenizer")
        results = Results(scalars={f"characters/{subset}": n for subset, n in read.items()})
        results.headline = [("Tokenizer", str(run_dir / "tokenizer"))]
        return results
    assert isinstance(config.training, LanguageModelConfig)
    started = time.monotonic()
    if config.data.tokenizer is None:
        raise UserError("training needs data.tokenizer, a hub id or a folder")
    tokenizer = load_tokenizer(config.data.tokenizer)
    recipe = config.training
    note("preparing the text …")
    stores = _stores(config, tokenizer)
    interval = max(1, recipe.steps // 6)
    last = run_dir / "partial" / "last.ckpt"
    stop = StopInGoodOrder(last)
    engine = trainer(
        callbacks=[
            stop,
            ShowSteps(recipe.steps),
            ModelCheckpoint(run_dir / "partial", every_n_train_steps=interval, save_last=True, save_top_k=1),
            KeepCheckpoints(run_dir / "checkpoints", recipe.steps, recipe.checkpoints, tokenizer),
        ],
        max_epochs=1,
        precision=recipe.precision,
        gradient_clip_val=recipe.gradient_clip,
        val_check_interval=interval,
        log_every_n_steps=min(LOG_EVERY, recipe.steps),
        enable_checkpointing=True,
        num_sanity_val_steps=0,
    )
    family = _family(config, tokenizer, stores, on_gpu=engine.strategy.root_device.type != "cpu")
    # weights_only stays on: a checkpoint of ours holds tensors and numbers alone.
    steps = Steps(family.blocks, recipe.steps)
    engine.fit(family, datamodule=steps, ckpt_path=last if resumed and last.exists() else None)
    if stop.asked is not None and engine.global_step < recipe.steps:
        say(f"stopped at step {engine.global_step:,}; go on with: resume=auto (or resume={run_dir})")
        raise SystemExit(128 + stop.asked)
    if engine.interrupted or engine.global_step < recipe.steps:
        next_time = f"go on with resume={run_dir}" if last.exists() else "no checkpoint is saved yet"
        raise UserError(f"training stopped at step {engine.global_step}: {next_time}")
    losses = [float(engine.callback_metrics[f"val/loss/{m}"]) for m in range(recipe.members)]
    if not all(map(math.isfinite, losses)):
        raise UserError(f"the held-out loss is {losses}: lower training.learning_rate")
    for (name, model), loss, seed in zip(family.named_members(), losses, _seeds(config), strict=True):
        save_half(model, run_dir / "model" / name)
        tokenizer.save_pretrained(run_dir / "model" / name)
        card = model_card(config, seed, loss, stores) | {"device": str(family.device)}
        atomic_write(run_dir / "model" / name / "card.json", json.dumps(card, indent=1))
    mean, tokens = sum(losses) / len(losses), recipe.steps * recipe.batch_size * config.data.context
    results = Results(scalars={"val/loss": mean, "tokens": tokens, "seconds": time.monotonic() - started})
    results.headline = [
        ("Held-out loss", f"{mean:.3f} nats a token (perplexity {math.exp(mean):.1f})"),
        ("Model" if recipe.members == 1 else "Models", str(run_dir / "model")),
    ]
    return results


def model_card(config: Config, seed: int, loss: float, stores: dict[str, Store]) -> dict[str, Any]:
    """How a member was made, as JSON values."""
    recipe, context = config.training, config.data.context
    return {
        "loss": round(loss, 4),
        "steps": recipe.steps,
        "tokens": recipe.steps * recipe.batch_size * context,
        "epochs": round(recipe.steps * recipe.batch_size / stores["train"].blocks, 3),
        "seed": seed,
        "recipe": dataclasses.asdict(recipe),
        "tokens_by_subset": {
            part: {s: n * context for s, n in store.manifest.get("subsets", {}).items()}
            for part, store in stores.items()
        },
        "torch": torch.__version__,
        "version": __version__,
    }


def _seeds(config: Config) -> range:
    return range(config.seed, config.seed + config.training.members)


def _stores(config: Config, tokenizer: PreTrainedTokenizerBase) -> dict[str, Store]:
    """Text for training and for validation: two parts of the source that never meet."""
    parts: dict[str, DataConfig] = {
        "train": dataclasses.replace(config.data, part=Part.train),
        "held_out": dataclasses.replace(
            config.data, part=Part.held_out, tokens=config.training.validation_tokens
        ),
    }
    return {name: Store(prepare_store(data, tokenizer)) for name, data in parts.items()}


def _family(
    config: Config, tokenizer: PreTrainedTokenizerBase, stores: dict[str, Store], on_gpu: bool
) -> SmallGPT2s:
    recipe, context = config.training, config.data.context
    bos, eos = special_ids(tokenizer)
    # For contexts this short, faster on a CPU than the fused kernel's backward pass.
    attention = "sdpa" if on_gpu else "eager"
    members = [
        new_model(recipe, seed, len(tokenizer), context, bos, eos, attention) for seed in _seeds(config)
    ]
    held_out = stores["held_out"]
    blocks = Blocks(
        all_tokens(stores["train"]),
        all_tokens(held_out),
        _seeds(config),
        recipe.steps,
        recipe.batch_size,
    )
    return SmallGPT2s(recipe, _seeds(config), members, blocks)
