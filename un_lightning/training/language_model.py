"""One seed of a small GPT-2, trained with `Trainer.fit`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from numpy import ndarray
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from un_lightning.config import LanguageModelConfig
from un_lightning.data.loader import Batch, BlockBatches


def training_order(available: int, needed: int, seed: int) -> Int64[ndarray, " needed"]:
    """Seeded permutations of all blocks, one after another, until there are `needed`."""
    generator = np.random.default_rng(seed)
    epochs = math.ceil(needed / available)
    return np.concatenate([generator.permutation(available) for _ in range(epochs)])[:needed].astype(np.int64)


class FromStep:
    """The batches of a training from a step on.

    Its length is that of the whole training: Lightning counts the steps of an interrupted epoch on from
    the checkpoint and expects the loader to go on there too.
    """

    def __init__(self, batches: BlockBatches, start: int) -> None:
        self.batches = batches
        self.start = start

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for index in range(self.start, len(self.batches)):
            yield self.batches[index]


class SmallGPT2(pl.LightningModule):
    """A GPT-2 of any size with next-token loss, AdamW and a one-cycle learning rate.

    Attributes:
        model: The plain Hugging Face model, which is what is kept in the end.
    """

    def __init__(
        self, config: LanguageModelConfig, vocabulary: int, context: int, bos: int, eos: int
    ) -> None:
        super().__init__()
        self.config = config
        # For contexts this short, faster on a CPU than the fused kernel's backward pass.
        attention: dict[str, Any] = {"attn_implementation": "eager"}
        self.model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=context - 1,  # the last token of a block is predicted, never read
                n_layer=config.layers,
                n_embd=config.width,
                n_head=config.heads,
                # The same function as GPT-2's gelu_new, as one fused operation.
                activation_function="gelu_pytorch_tanh",
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=bos,
                eos_token_id=eos,
                use_cache=False,
                **attention,
            )
        )

    def loss(self, tokens: Int[Tensor, "block position"]) -> Float[Tensor, ""]:
        """Mean next-token cross-entropy in nats; the first token has no prediction."""
        logits = self.model(input_ids=tokens[:, :-1]).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of one batch, logged as `train/loss`."""
        loss = self.loss(batch.tokens)
        self.log("train/loss", loss)
        self.log("tokens", float((self.global_step + 1) * batch.tokens.numel()))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Loss on held-out text, logged as `val/loss`."""
        self.log("val/loss", self.loss(batch.tokens), batch_size=len(batch.tokens), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW with weight decay on matrices alone, and a one-cycle schedule by step."""
        c = self.config
        matrices = [p for p in self.parameters() if p.ndim >= 2]
        vectors = [p for p in self.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": c.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=c.learning_rate,
            betas=(0.9, 0.98),
        )
        rising = max(c.warmup, 2 / c.steps)  # the schedule divides by zero where it rises for one step
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, c.learning_rate, total_steps=c.steps, pct_start=min(rising, 1.0)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def save_half(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write a model as float16 safetensors, leaving the model itself as it is.

    The unembedding is left out where it is the embedding, as it is in GPT-2.
    """
    tied = set(model.all_tied_weights_keys) if model.config.tie_word_embeddings else set()
    state = {n: value.to(torch.float16) for n, value in model.state_dict().items() if n not in tied}
    model.save_pretrained(folder, state_dict=state)
