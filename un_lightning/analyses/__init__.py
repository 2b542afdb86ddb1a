"""One LightningModule an analysis: what it reads, what it adds up, what it reports."""

from importlib import import_module
from typing import TYPE_CHECKING

from un_lightning.config import AnalysisConfig


if TYPE_CHECKING:
    from un_lightning.analyses.base import Analysis
    from un_lightning.models.family import Family


ANALYSES = {"correlation": "un_lightning.analyses.correlation:CorrelationAnalysis"}
"""Module and class of each `analysis.kind`; imported when it is used."""


def make_analysis(config: AnalysisConfig, family: "Family", seed: int) -> "Analysis":
    """Build the analysis that a config names.

    Raises:
        UserError: The models lack what the analysis reads.
    """
    module, name = ANALYSES[config.kind].split(":")
    return getattr(import_module(module), name)(config, family, seed)
