"""Small GPT-2s that differ only by seed, trained side by side with `Trainer.fit`."""

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from un_lightning.config import LanguageModelConfig
from un_lightning.models.quiet import quiet_transformers
from un_lightning.training.blocks import Blocks


LOG_EVERY = 20
"""Steps between two logged ones."""


def new_model(
    config: LanguageModelConfig, seed: int, vocabulary: int, context: int, bos: int, eos: int, attention: str
) -> GPT2LMHeadModel:
    """A GPT-2 with the initial weights of a seed, whatever was drawn before.

    Args:
        config: Its shape.
        seed: Of its weights.
        vocabulary: Tokens of the tokenizer.
        context: Tokens of a block; the last one is predicted, never read, so there is a position less.
        bos: Id of BOS.
        eos: Id of EOS.
        attention: How Transformers computes attention, `sdpa` or `eager`.
    """
    how: dict[str, Any] = {"attn_implementation": attention}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=context - 1,
                n_layer=config.layers,
                n_embd=config.width,
                n_inner=config.neurons,
                n_head=config.heads,
                activation_function=config.activation.value,
                tie_word_embeddings=config.tied,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=bos,
                eos_token_id=eos,
                use_cache=False,
                **how,
            )
        )


class SmallGPT2s(pl.LightningModule):
    """Members of a family with next-token loss, one AdamW and a one-cycle learning rate.

    A member's weights depend on its own seed and order alone: gradients never mix, and each member's is
    clipped by its own norm.

    Attributes:
        members: The plain Hugging Face models, which are what is kept in the end.
    """

    def __init__(
        self, config: LanguageModelConfig, seeds: range, members: list[GPT2LMHeadModel], blocks: Blocks
    ) -> None:
        super().__init__()
        self.config = config
        self.seeds = seeds
        self.members = nn.ModuleList(members)
        self.blocks = blocks

    def named_members(self) -> list[tuple[str, GPT2LMHeadModel]]:
        """The models with the folders that they lie in; a single one needs none of its own."""
        names = [f"seed-{seed}" for seed in self.seeds] if len(self.seeds) > 1 else [""]
        return [(name, cast(GPT2LMHeadModel, model)) for name, model in zip(names, self.members, strict=True)]

    def loss(self, member: int, tokens: Int[Tensor, "block position"]) -> Float[Tensor, ""]:
        """A member's mean next-token cross-entropy in nats; the first token has no prediction."""
        logits = self.members[member](input_ids=tokens[:, :-1]).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten().long())

    def training_step(self, batch: int, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Losses of all members at a step, added up; their mean is logged as `train/loss`."""
        losses = [self.loss(m, self.blocks.batch(m, batch)) for m in range(len(self.members))]
        total = torch.stack(losses).sum()
        if (batch + 1) % LOG_EVERY == 0:  # a number that comes from the host makes it wait for the device
            read = (batch + 1) * self.blocks.batch_size * self.blocks.train_tokens.shape[1]
            self.log("train/loss", total.detach() / len(losses), batch_size=1)
            self.log("tokens", float(read), batch_size=1)
        return total

    def validation_step(self, batch: int, batch_idx: int) -> None:  # noqa: ARG002
        """Losses on held-out text, logged as `val/loss` (mean) and `val/loss/<member>`."""
        tokens = self.blocks.held_out_batch(batch)
        losses = [self.loss(m, tokens) for m in range(len(self.members))]
        self.log("val/loss", torch.stack(losses).mean(), batch_size=len(tokens), prog_bar=True)
        logged = None if len(losses) > 1 else False  # None: where there is a logger
        for member, loss in enumerate(losses):
            self.log(f"val/loss/{member}", loss, batch_size=len(tokens), logger=logged)

    def configure_gradient_clipping(
        self,
        optimizer: Any,  # noqa: ARG002
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Clip each member's gradient by its own norm."""
        for member in self.members:
            if gradient_clip_val:
                torch.nn.utils.clip_grad_norm_(member.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """AdamW with weight decay on matrices alone, and a one-cycle schedule by step."""
        c = self.config
        matrices = [p for p in self.parameters() if p.ndim >= 2]
        vectors = [p for p in self.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": c.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=c.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        # The schedule divides by zero unless it both rises and falls for a step: it rises for two of at least
        # three, of which a training of one or two steps takes the first.
        total = max(c.steps, 3)
        rising = min(max(c.warmup, 2 / total), (total - 1) / total)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, c.learning_rate, total_steps=total, pct_start=rising
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def save_half(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write a model as float16 safetensors, leaving the model itself as it is.

    The unembedding is left out where it is the embedding, as it is in GPT-2.
    """
    tied = set(model.all_tied_weights_keys) if model.config.tie_word_embeddings else set()
    state = {n: value.to(torch.float16) for n, value in model.state_dict().items() if n not in tied}
    with quiet_transformers():  # a bar for each checkpoint would bury what the terminal says
        model.save_pretrained(folder, state_dict=state)
