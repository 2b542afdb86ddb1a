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
