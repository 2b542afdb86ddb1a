"""Settings of the families analysis."""

from dataclasses import dataclass, field
from typing import Any

from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.checks import at_least, require
from un_lightning.config.labels import LabelsConfig


@dataclass
class FamilyCriteria:
    """What makes a neuron a member of a family: reduction in variance by its best label of that family.

    The numbers of the paper are those of unigram, alphabet, kurtosis and unexplained; the other families of
    the paper are "the best label is one of these", which is the level above which a neuron is explained.
    """

    unigram: float = 0.5
    """One string, however it is written."""
    alphabet: float = 0.37
    """One letter."""
    vocabulary: float = 0.5
    """Any other property of the token; the paper asks of all token features what it asks of unigrams."""
    previous: float = 0.05
    """A property of the token before."""
    syntax: float = 0.05
    """Part of speech, dependency, morphology, entity, sentence border."""
    topic: float = 0.05
    """Words of a topic."""
    subset: float = 0.05
    """A part of the text."""
    position_mi: float = 0.05
    """Mutual information, in nats, of position and firing (Voita et al. 2023)."""
    position_eta2: float = 0.1
    """Share of the variance of the pre-activation that lies between positions."""
    kurtosis: float = 2.0
    """Kurtosis of the pre-activation below which a neuron of position lies."""
    unexplained: float = 0.05
    """A neuron is unexplained if no label reduces its variance by more."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            highest = float("inf") if name in ("kurtosis", "position_mi") else 1
            require(
                0 <= value <= highest, f"analysis.criteria.{name} is {value}, but must be in [0, {highest:g}]"
            )


@dataclass
class FamiliesConfig(AnalysisConfig):
    """What each neuron responds to, among labels of tokens (paper section 4.3; docs/families.md)."""

    kind: str = "families"
    models: list[str] = field(default_factory=list)
    """Members of the family; empty takes its reference."""
    layers: list[int] = field(default_factory=list)
    """Layers to read; empty reads all."""
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    """Which labels neurons are compared with."""
    criteria: FamilyCriteria = field(default_factory=FamilyCriteria)
    """From when on a label makes a neuron one of its family."""
    min_count: int = 100
    """Fewest tokens that must have a label, and lack it, for it to be compared with neurons."""
    leading: int = 3
    """Labels of a neuron, the best of their kinds, that a second reading measures; 0 reads the text once."""
    roles: float = 0.2
    """Reduction in variance by one string from which on a neuron is split by the string's part of a word."""
    neurons_per_label: int = 10
    """Neurons listed for each label."""
    duplicates: int = 3
    """Neurons of a family that must share their best label to be listed as duplicates."""
    alpha: float = 0.05
    """False discovery rate at which a neuron's label is significant."""
    bins: int = 256
    """Equal bins of a neuron's pre-activation, with label and without."""
    groups: int = 64
    """Groups of whole documents, at most, that give the errors."""
    widen: float = 0.5
    """The bins span the pilot's range and this share of it more on either side."""
    top_examples: int = 8
    """Largest activations of each neuron that is shown, with their contexts."""
    shown: int = 8
    """Neurons of each family that are shown with examples and in figures."""
    before: int = 20
    """Tokens of context before an example's token."""
    after: int = 4
    """Tokens of context behind it."""
    tables: Any = None
    """Neuron tables or correlation runs that say which neurons are universal: a path, or a list of them."""
    threshold: float = 0.5
    """Excess correlation above which a neuron of those tables is universal."""
    memory_gb: float = 8.0
    """What the statistics may take on each device, in 10⁹ bytes; a run that needs more is refused."""
    pilot: int = 32
    """Blocks that are read first for each neuron's mean and range."""

    def needs(self, reference: str) -> list[str]:
        """The models that are read."""
        return self.models or [reference]

    def __post_init__(self) -> None:
        at_least(
            "analysis", self, min_count=1, leading=0, neurons_per_label=1, duplicates=2, bins=2, groups=2
        )
        at_least("analysis", self, widen=0, top_examples=1, shown=1, before=0, after=0, memory_gb=0, pilot=1)
        require(0 <= self.roles <= 1, f"analysis.roles is {self.roles}, but must be in [0, 1]")
        require(0 < self.alpha < 1, f"analysis.alpha is {self.alpha}, but must be between 0 and 1")
        require(-2 <= self.threshold <= 2, f"analysis.threshold is {self.threshold}, outside [-2, 2]")
        require(min(self.layers, default=0) >= 0, f"analysis.layers holds a negative layer: {self.layers}")
        paths = [self.tables] if isinstance(self.tables, str) else self.tables
        require(
            paths is None or (isinstance(paths, list) and all(isinstance(path, str) for path in paths)),
            f"analysis.tables is {self.tables!r}: set it to a neuron table (folder of a run, parquet or CSV "
            "file), or a list of them",
        )
