"""Settings of the neuron table, which several analyses fill."""

from dataclasses import dataclass, field

from un_lightning.config.activations import ActivationsConfig
from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.checks import require
from un_lightning.config.correlation import CorrelationConfig
from un_lightning.config.weights import WeightsConfig


PARTS = ("correlation", "activations", "weights")
"""The analyses whose columns the table has, in the order in which they run."""


@dataclass
class NeuronTableConfig(AnalysisConfig):
    """Everything about the neurons of one model in one table (docs/neuron_table.md)."""

    kind: str = "neuron_table"
    reuse: bool = True
    """Take the tables of finished runs of the same config instead of running again."""
    correlation: CorrelationConfig = field(default_factory=CorrelationConfig)
    """Settings of the correlation part."""
    activations: ActivationsConfig = field(default_factory=ActivationsConfig)
    """Settings of the activations part."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """Settings of the weights part."""

    def __post_init__(self) -> None:
        first, second = self.activations.model, self.weights.model
        require(
            first == second,
            f"analysis.activations.model is {first}, but analysis.weights.model is {second}: a neuron table "
            "is about one model",
        )
        for part in PARTS:
            kind = getattr(self, part).kind
            require(kind == part, f"analysis.{part}.kind is '{kind}', but must be '{part}'")
