"""One LightningModule an analysis: what it reads, what it adds up, what it reports."""

from typing import TYPE_CHECKING

from un_lightning.config import AnalysisConfig
from un_lightning.config.registry import runner
from un_lightning.errors import UserError


if TYPE_CHECKING:
    from un_lightning.analyses.base import Analysis
    from un_lightning.models.family import Family


def analysis_class(config: AnalysisConfig) -> "type[Analysis]":
    """The LightningModule that carries out the analysis that a config describes.

    Raises:
        UserError: Another package brings it, and it cannot be used.
    """
    from un_lightning.analyses.base import Analysis

    found = runner(config).load()
    if not (isinstance(found, type) and issubclass(found, Analysis)):
        raise UserError(
            f"analysis '{config.kind}' cannot be used: {found!r} is no subclass of "
            "un_lightning.analyses.base.Analysis"
        )
    return found


def make_analysis(config: AnalysisConfig, family: "Family", seed: int) -> "Analysis":
    """Build the analysis that a config describes.

    Raises:
        UserError: The models lack what the analysis reads.
    """
    return analysis_class(config)(config, family, seed)
