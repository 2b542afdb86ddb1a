"""Settings of the ablation of sets of neurons."""

from dataclasses import dataclass, field
from typing import Any

from un_lightning.config.analysis import OneModelConfig
from un_lightning.config.checks import at_least, require
from un_lightning.config.correlation import CorrelationConfig
from un_lightning.config.edits import EditKind, neuron_names


@dataclass
class AblationConfig(OneModelConfig):
    """What predictions lose with sets of neurons, against random sets of their layers (docs/ablation.md)."""

    kind: str = "ablation"
    tables: str | None = None
    """Neuron table whose universal neurons are one set: folder of a run, parquet or CSV file. Null, where no
    other set is named, runs the correlation analysis first or takes a finished one of the same config."""
    threshold: float = 0.5
    """Excess correlation above which a neuron is universal."""
    top: int | None = None
    """Take only this many universal neurons, those with the largest excess."""
    families: str | None = None
    """Column of the table whose values name further sets, such as classes of neurons."""
    sets: dict[str, Any] = field(default_factory=dict)
    """Further sets by name, such as `{mine: [L3.217, L2.5]}`."""
    neurons: Any = None
    """One further set, named `neurons`, such as `[L3.217, L2.5]`."""
    edit: EditKind = EditKind.mean
    """What becomes of the neurons' activations."""
    values: list[float] = field(default_factory=list)
    """Activations, factors or bounds, where `edit` is fix, scale, threshold or add; each set meets each."""
    draws: int = 5
    """Random sets for each set, with as many neurons of every layer."""
    spare_bos: bool = True
    """Leave activations at the first position of each block, the attention sink, as they are."""
    pilot: int = 32
    """Blocks that are read first for the neurons' mean activations."""
    groups: int = 32
    """Groups of whole documents from which errors are estimated, at most."""
    confidence: float = 0.95
    """Of the intervals."""
    reuse: bool = True
    """Take the universal neurons of a finished run of the same config instead of running again."""
    correlation: CorrelationConfig = field(default_factory=CorrelationConfig)
    """How universal neurons are found where `tables` is null and no other set is named."""

    def __post_init__(self) -> None:
        at_least("analysis", self, draws=0, pilot=1, groups=2)
        require(0 < self.confidence < 1, f"analysis.confidence is {self.confidence}, not between 0 and 1")
        require(-2 <= self.threshold <= 2, f"analysis.threshold is {self.threshold}, outside [-2, 2]")
        require(self.top is None or self.top > 0, f"analysis.top is {self.top}, but must be at least 1")
        for value in self.values:
            require(abs(value) < float("inf"), f"analysis.values holds {value}, which is no finite number")
        require(
            len({*self.values}) == len(self.values), f"analysis.values holds a value twice: {self.values}"
        )
        if self.edit.takes_value:
            require(len(self.values) > 0, f"analysis.edit={self.edit} needs analysis.values, such as [0]")
        else:
            require(not self.values, f"analysis.edit={self.edit} takes no value: leave analysis.values empty")
        if self.neurons is not None:
            listed = isinstance(self.neurons, list)
            require(listed, f"analysis.neurons is {self.neurons!r}, but must be a list such as [L3.217]")
            self.neurons = neuron_names("analysis.neurons", self.neurons)
        for name, members in self.sets.items():
            listed = isinstance(members, list)
            require(listed, f"analysis.sets.{name} is {members!r}, but must be a list such as [L3.217]")
            self.sets[name] = neuron_names(f"analysis.sets.{name}", members)
        for name in ("universal", "neurons"):
            require(
                name not in self.sets, f"analysis.sets has a set '{name}', a name that has a meaning here"
            )
        column = self.families
        require(
            column is None or self.tables is not None, "analysis.families names a column of analysis.tables"
        )

    def variant(self) -> str:
        """`find` where nothing says which neurons are meant, so that universal ones are found first."""
        return "find" if self.tables is None and not self.sets and self.neurons is None else ""
