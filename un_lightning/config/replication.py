"""Settings of the replication of a family's studies."""

from dataclasses import dataclass, field
from typing import Any

from un_lightning.config.ablation import AblationConfig
from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.attention import AttentionConfig
from un_lightning.config.checks import require
from un_lightning.config.entropy import EntropyConfig
from un_lightning.config.families import FamiliesConfig
from un_lightning.config.neuron_table import NeuronTableConfig
from un_lightning.config.prediction import PredictionConfig


STUDIES = ("neuron_table", "properties", "families", "prediction", "entropy", "attention", "ablation")
"""The studies that a replication can have, in the order in which they run; the first is always one."""
READS_TABLE = ("properties", "families", "ablation")
"""Studies that take from the neuron table which neurons are universal."""
OVERRIDES = ("context", "tokens", "batch_size")
"""What a study may set differently from the data of the run."""


@dataclass
class ReplicateConfig(AnalysisConfig):
    """All studies of a family, and its numbers beside the published ones (docs/replication.md)."""

    kind: str = "replicate"
    published: str | None = None
    """Model of the paper whose published values ours are compared with; null where there are none."""
    studies: list[str] = field(default_factory=lambda: [*STUDIES])
    """Which studies are carried out."""
    data: dict[str, Any] = field(default_factory=dict)
    """What studies read otherwise than the run, such as `{entropy: {tokens: 1_000_000}}`; never more tokens.
    One that only reads fewer takes them from the store that the first one made."""
    reuse: bool = True
    """Take finished runs of the same config instead of running again."""
    neuron_table: NeuronTableConfig = field(default_factory=NeuronTableConfig)
    """Settings of this part."""
    families: FamiliesConfig = field(default_factory=FamiliesConfig)
    """Settings of this part."""
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    """Settings of this part."""
    entropy: EntropyConfig = field(default_factory=EntropyConfig)
    """Settings of this part."""
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    """Settings of this part."""
    ablation: AblationConfig = field(default_factory=AblationConfig)
    """Settings of this part."""

    def __post_init__(self) -> None:
        for study in self.studies:
            require(
                study in STUDIES, f"analysis.studies holds '{study}', but allowed are {', '.join(STUDIES)}"
            )
        require(
            "neuron_table" in self.studies, "analysis.studies lacks neuron_table, which the others build on"
        )
        for study, changes in self.data.items():
            named = f"analysis.data.{study}"
            known = study in STUDIES and study != "properties"
            require(known, f"{named}: no study of that name reads text; allowed are {', '.join(STUDIES)}")
            require(isinstance(changes, dict), f"{named} is {changes!r}, but must be like {{tokens: 1000}}")
            for key in changes:
                require(key in OVERRIDES, f"{named}.{key} is none of {', '.join(OVERRIDES)}")
