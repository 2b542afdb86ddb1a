"""Training of small models and tokenizers."""

from dataclasses import dataclass

from omegaconf import MISSING

from un_lightning.config.checks import at_least, require


@dataclass
class TrainingConfig:
    """What every training has."""

    kind: str = MISSING
    """`language_model` or `tokenizer`."""


@dataclass
class LanguageModelConfig(TrainingConfig):
    """A small GPT-2, trained from scratch."""

    kind: str = "language_model"
    layers: int = 4
    width: int = 128
    heads: int = 4
    steps: int = 2_400
    batch_size: int = 32
    """Blocks a step."""
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    gradient_clip: float = 1.0
    precision: str = "32-true"
    """Lightning's precision flag, such as bf16-mixed."""
    checkpoints: int = 0
    """Models kept at this many steps, spaced evenly in the logarithm of the step."""
    validation_tokens: int = 200_000

    def __post_init__(self) -> None:
        at_least("training", self, layers=1, width=1, heads=1, steps=1, batch_size=1, checkpoints=0)
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
    vocabulary: int = 4_096
    characters: int = 30_000_000
    """Text that it is trained on."""

    def __post_init__(self) -> None:
        at_least("training", self, vocabulary=258, characters=1)
