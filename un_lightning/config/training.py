"""Training of small models and tokenizers."""

from dataclasses import dataclass
from enum import StrEnum

from omegaconf import MISSING

from un_lightning.config.checks import at_least, require


@dataclass
class TrainingConfig:
    """What every training has."""

    kind: str = MISSING
    """`language_model` or `tokenizer`."""


class Activation(StrEnum):
    """What the neurons compute, in Transformers' names; `gelu_pytorch_tanh` is GPT-2's as one operation."""

    gelu_pytorch_tanh = "gelu_pytorch_tanh"
    relu = "relu"
    relu2 = "relu2"


@dataclass
class LanguageModelConfig(TrainingConfig):
    """Small GPT-2s, trained from scratch."""

    kind: str = "language_model"
    """What is trained."""
    members: int = 1
    """Seeds that are trained side by side: `seed`, `seed` + 1, …"""
    layers: int = 4
    """Blocks of the model."""
    width: int = 128
    """Residual coordinates."""
    heads: int = 4
    """Attention heads of each block."""
    neurons: int | None = None
    """Neurons of a layer; four times the width if nothing is said."""
    activation: Activation = Activation.gelu_pytorch_tanh
    tied: bool = True
    """Whether the unembedding is the embedding."""
    steps: int = 2_400
    """Optimizer steps."""
    batch_size: int = 32
    """Blocks a step."""
    learning_rate: float = 3e-3
    """The largest, after the warm-up."""
    weight_decay: float = 0.1
    """Of matrices; vectors have none."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    gradient_clip: float = 1.0
    """Largest norm of a member's gradient."""
    precision: str = "32-true"
    """Lightning's precision flag, such as bf16-mixed."""
    checkpoints: int = 0
    """Models kept at this many steps, spaced evenly in the logarithm of the step."""
    validation_tokens: int = 200_000
    """Held-out tokens on which the loss is measured."""

    def __post_init__(self) -> None:
        at_least("training", self, members=1, layers=1, width=1, heads=1, steps=1, batch_size=1)
        at_least("training", self, checkpoints=0)
        require(
            self.neurons is None or self.neurons >= 1,
            f"training.neurons is {self.neurons}, but must be at least 1",
        )
        require(
            not self.precision.startswith("16"),
            f"training.precision={self.precision} needs scaled gradients: take bf16-mixed or 32-true",
        )
        at_least("training", self, weight_decay=0, gradient_clip=0, validation_tokens=1)
        require(
            self.learning_rate > 0, f"training.learning_rate is {self.learning_rate}, but must be above 0"
        )
        require(0 <= self.warmup <= 1, f"training.warmup is {self.warmup}, outside [0, 1]")
        require(
            self.width % self.heads == 0,
            f"training.width {self.width} is no multiple of heads {self.heads}",
        )


@dataclass
class TokenizerConfig(TrainingConfig):
    """A byte-level BPE, trained on the source's text."""

    kind: str = "tokenizer"
    """What is trained."""
    vocabulary: int = 4_096
    """Tokens of the vocabulary, special ones included."""
    characters: int = 30_000_000
    """Text that it is trained on."""

    def __post_init__(self) -> None:
        at_least("training", self, vocabulary=258, characters=1)
