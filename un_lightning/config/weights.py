"""Settings of the analysis of weights."""

from dataclasses import dataclass
from enum import StrEnum

from un_lightning.config.analysis import OneModelConfig
from un_lightning.config.checks import at_least


class Weights(StrEnum):
    """`processed` is folded and centred as in the paper, `raw` is what was trained."""

    processed = "processed"
    raw = "raw"


class Vocabulary(StrEnum):
    """Which tokens count: `tokenizer` leaves out padding rows of the embedding, `model` takes every row."""

    tokenizer = "tokenizer"
    model = "model"


@dataclass
class WeightsConfig(OneModelConfig):
    """What neurons read and write, as far as weights alone tell (docs/weights.md)."""

    kind: str = "weights"
    weights: Weights = Weights.processed
    vocabulary: Vocabulary = Vocabulary.tokenizer
    """The published tables take every row, which for Pythia includes 27 that no token uses."""
    token_frequency: bool = False
    """Also weigh tokens by how often they occur in the `data.tokens` tokens of the data."""
    attention: bool = True
    """Composition with every attention head."""
    neurons: bool = True
    """Composition with every other neuron, N² cosines of each kind."""
    top_tokens: int = 10
    """Nearest and farthest tokens kept a neuron (the reference scripts keep 100)."""
    top_neurons: int = 10
    """Nearest and farthest neurons kept a neuron (the reference scripts keep 20)."""
    bins: int = 100
    """Bins of each histogram of cosines over [-1, 1]."""
    tile: int = 2048
    """Tokens or neurons whose cosines with a layer's neurons exist at a time."""

    def __post_init__(self) -> None:
        at_least("analysis", self, top_tokens=1, top_neurons=1, bins=1, tile=1)
