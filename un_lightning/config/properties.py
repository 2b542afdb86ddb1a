"""Settings of the comparison of universal neurons with the rest."""

from dataclasses import dataclass, field
from typing import Any

from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.checks import at_least, require


@dataclass
class PropertiesConfig(AnalysisConfig):
    """Universal neurons against the rest of their layers, in every column of a neuron table."""

    kind: str = "properties"
    tables: Any = None
    """Neuron tables: folder of a run, parquet or CSV file; one path, a list of them, or names with paths."""
    threshold: float = 0.5
    """Excess correlation above which a neuron is universal."""
    columns: list[str] = field(default_factory=list)
    """Columns to compare; empty takes every number but the correlations."""
    permutations: int = 2000
    """Relabellings of each test; no p-value is below 1 / (permutations + 1)."""
    alpha: float = 0.05
    """False discovery rate at which a claim holds."""

    def __post_init__(self) -> None:
        at_least("analysis", self, permutations=1)
        require(0 < self.alpha < 1, f"analysis.alpha is {self.alpha}, but must be between 0 and 1")
        require(-2 <= self.threshold <= 2, f"analysis.threshold is {self.threshold}, outside [-2, 2]")
        paths = [self.tables] if isinstance(self.tables, str) else self.tables
        given = [*paths.values()] if isinstance(paths, dict) else paths
        require(
            isinstance(given, list) and len(given) > 0 and all(isinstance(path, str) for path in given),
            f"analysis.tables is {self.tables!r}: set it to a neuron table (folder of a run, parquet or CSV "
            "file), a list [first,second], or names {small: first, medium: second}",
        )


@dataclass
class PublishedConfig(AnalysisConfig):
    """The paper's published tables, recomputed and compared with what is known of them."""

    kind: str = "published"
    tables: str | None = None
    """Folder with `<model>/universal.csv` of the paper's repository, with or without `ground_truth.json`."""
    threshold: float = 0.5
    """Excess correlation above which the paper calls a neuron universal."""
