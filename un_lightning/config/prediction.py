"""Settings of the prediction analysis."""

from dataclasses import dataclass, field

from un_lightning.config.analysis import OneModelConfig
from un_lightning.config.checks import at_least, require
from un_lightning.config.labels import LabelsConfig
from un_lightning.config.models import Site
from un_lightning.config.weights import Vocabulary, Weights


@dataclass
class PredictionConfig(OneModelConfig):
    """Which neurons promote, suppress or divide the next tokens (paper section 5.2; docs/prediction.md)."""

    kind: str = "prediction"
    family: bool = True
    """Moments of every member, so that the trends over layers have bands; false reads `model` alone."""
    weights: Weights = Weights.processed
    vocabulary: Vocabulary = Vocabulary.tokenizer
    """Rows of the unembedding that count: those of tokens, or all."""
    kurtosis: float = 10.0
    """Above it a neuron is a prediction neuron (skew above 0) or a suppression neuron (below)."""
    variance: float = 0.005
    """Above it any other neuron is a partition neuron; chance gives about 1 / d_model."""
    random_directions: int = 4096
    """Directions whose classes are what chance gives."""
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    """Labels of tokens that explain neurons (docs/labels.md)."""
    min_tokens: int = 5
    """A label explains nothing if fewer tokens have it, or lack it."""
    top_labels: int = 3
    """Labels listed a neuron, by variance reduction."""
    top_tokens: int = 10
    """Tokens listed a neuron, at either end."""
    follow: int = 100
    """Neurons of each class, the most extreme ones, whose activations are read on text."""
    extreme_tokens: int = 50
    """Tokens at the end of a neuron's class that count as what it predicts, or suppresses."""
    site: Site = Site.mlp_pre
    """Activations that are compared: before the nonlinearity as in the paper, or after it (`mlp_post`)."""
    bins: int = 512
    """Bins of a followed neuron's activations, of which the AUROC is read off."""
    groups: int = 20
    """Groups of whole documents, at most, that intervals leave out one at a time."""
    confidence: float = 0.95
    """Level of the intervals."""
    pilot: int = 16
    """Blocks that are read first for each followed neuron's mean and range."""
    tile: int = 2048
    """Tokens whose cosines with some neurons exist at a time."""

    def needs(self, reference: str) -> list[str] | None:
        """All members, or the one model that is read."""
        return None if self.family else super().needs(reference)

    def __post_init__(self) -> None:
        at_least("analysis", self, kurtosis=0, variance=0, random_directions=1, min_tokens=2, top_labels=1)
        at_least(
            "analysis", self, top_tokens=1, follow=0, extreme_tokens=1, bins=2, groups=2, pilot=1, tile=1
        )
        require(
            0 < self.confidence < 1, f"analysis.confidence is {self.confidence}, but must be between 0 and 1"
        )
        require(
            self.site in (Site.mlp_pre, Site.mlp_post),
            f"analysis.site is {self.site}, but the activations of neurons are mlp_pre or mlp_post",
        )
