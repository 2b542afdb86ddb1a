"""What every analysis can be told."""

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class AnalysisConfig:
    """What every analysis has."""

    kind: str = MISSING
    """Name in the registry of analyses."""

    def needs(self, reference: str) -> list[str] | None:  # noqa: ARG002
        """Members of the family that are read; None for all.

        Args:
            reference: The family's reference.
        """
        return None

    def variant(self) -> str:
        """Which of its kind's variants this is (`registry.Declaration`); most kinds have none."""
        return ""


@dataclass
class OneModelConfig(AnalysisConfig):
    """What every analysis of a single model has."""

    model: str | None = None
    """Member of the family; null is its reference."""

    def needs(self, reference: str) -> list[str] | None:
        """The one model that is read."""
        return [self.model or reference]
