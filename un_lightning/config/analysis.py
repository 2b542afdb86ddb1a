"""What every analysis can be told."""

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class AnalysisConfig:
    """What every analysis has."""

    kind: str = MISSING
    """Name in the registry of analyses."""
