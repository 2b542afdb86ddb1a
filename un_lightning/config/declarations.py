"""What an analysis consists of, and the list of our own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from un_lightning.config.analysis import AnalysisConfig


class Way(StrEnum):
    """How an analysis is carried out.

    `stream`: an `Analysis`, through which a stream of text or layers goes. `report`: a class that reads
    finished tables and returns results when it is called. `study`: a function that carries out several runs.
    """

    stream = "stream"
    report = "report"
    study = "study"


Variants = Mapping[str, tuple[str, Way]]
"""By what `AnalysisConfig.variant` says: the place of what carries it out, and how."""


@dataclass(frozen=True)
class Declaration:
    """An analysis: its settings and what carries it out."""

    config: str | type[AnalysisConfig]
    """Dataclass of the settings, best as `module:Class`, so that it is imported when it is used."""
    runs: str | Callable[..., Any]
    """What carries it out, in the same way; called with config, family and seed (`stream`), config and seed
    (`report`), or config, plain values and a function that carries out one run (`study`)."""
    way: Way = Way.stream
    variants: Variants = field(default_factory=dict)
    """Where `AnalysisConfig.variant` is one of these, it is carried out otherwise."""


def _ours(config: str, runs: str, way: Way = Way.stream, variants: Variants | None = None) -> Declaration:
    """One of ours: its config lies in `config/`, what carries it out in `studies/` or `analyses/`."""
    place = lambda runs, way: f"un_lightning.{'studies' if way is Way.study else 'analyses'}.{runs}"
    own = {name: (place(*variant), variant[1]) for name, variant in (variants or {}).items()}
    return Declaration(f"un_lightning.config.{config}", place(runs, way), way, own)


_SCREEN = {"screen": ("screen.analysis:ScreenAnalysis", Way.stream)}
_FIND = {"find": ("ablation:run_ablation", Way.study)}

OURS: dict[str, Declaration] = {
    "ablation": _ours("ablation:AblationConfig", "ablation.analysis:AblationAnalysis", variants=_FIND),
    "activations": _ours("activations:ActivationsConfig", "activations.analysis:ActivationsAnalysis"),
    "attention": _ours("attention:AttentionConfig", "attention.analysis:AttentionAnalysis"),
    "correlation": _ours(
        "correlation:CorrelationConfig", "correlation.analysis:CorrelationAnalysis", variants=_SCREEN
    ),
    "emergence": _ours("emergence:EmergenceConfig", "emergence.study:run_emergence", Way.study),
    "entropy": _ours("entropy:EntropyConfig", "entropy.analysis:EntropyAnalysis"),
    "families": _ours("families:FamiliesConfig", "families.analysis:FamiliesAnalysis"),
    "neuron_table": _ours("neuron_table:NeuronTableConfig", "neuron_table:run_neuron_table", Way.study),
    "prediction": _ours("prediction:PredictionConfig", "prediction.analysis:PredictionAnalysis"),
    "properties": _ours("properties:PropertiesConfig", "properties.report:PropertiesReport", Way.report),
    "published": _ours("properties:PublishedConfig", "properties.published:PublishedReport", Way.report),
    "replicate": _ours("replication:ReplicateConfig", "replication.study:run_replicate", Way.study),
    "weights": _ours("weights:WeightsConfig", "weights.analysis:WeightsAnalysis"),
}
"""Our own analyses, by `analysis.kind`: a new one needs a line here and nothing else."""
