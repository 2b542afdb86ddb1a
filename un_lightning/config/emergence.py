"""Settings of the study of checkpoints."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from un_lightning.config.analysis import AnalysisConfig
from un_lightning.config.checks import require
from un_lightning.config.correlation import CorrelationConfig


@dataclass
class EmergenceConfig(AnalysisConfig):
    """When neurons become universal in training, and whether they stay so (docs/emergence.md)."""

    kind: str = "emergence"
    checkpoints: list[Any] = MISSING
    """What `{checkpoint}` in the paths and revisions of `models.members` stands for, in the order of
    training: numbers or names. `{checkpoint:06}` writes a number with six digits."""
    reuse: bool = True
    """Take the correlations of finished runs of the same config instead of running again."""
    correlation: CorrelationConfig = field(default_factory=CorrelationConfig)
    """Settings of the correlation at each checkpoint."""

    def __post_init__(self) -> None:
        names = [str(checkpoint) for checkpoint in self.checkpoints]
        require(
            len(names) >= 2, "analysis.checkpoints needs two checkpoints or more, such as [100,1000,10000]"
        )
        require(len({*names}) == len(names), f"analysis.checkpoints holds one twice: {', '.join(names)}")
        for checkpoint in self.checkpoints:
            plain = isinstance(checkpoint, int | str) and not isinstance(checkpoint, bool)
            whole = plain and str(checkpoint).replace("-", "").replace("_", "").replace(".", "").isalnum()
            require(
                whole and str(checkpoint).strip(".") != "",
                f"analysis.checkpoints holds {checkpoint!r}, but checkpoints are numbers or names of "
                "letters, digits, '-', '_' and '.'",
            )
