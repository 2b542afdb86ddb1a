"""One LightningModule an analysis: what it reads, what it adds up, what it reports."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from un_lightning.config import AnalysisConfig


if TYPE_CHECKING:
    from un_lightning.analyses.base import Analysis
    from un_lightning.models.family import Family
    from un_lightning.results.results import Results


ANALYSES = {
    "ablation": "un_lightning.analyses.ablation.analysis:AblationAnalysis",
    "activations": "un_lightning.analyses.activations.analysis:ActivationsAnalysis",
    "attention": "un_lightning.analyses.attention.analysis:AttentionAnalysis",
    "correlation": "un_lightning.analyses.correlation.analysis:CorrelationAnalysis",
    "correlation/screen": "un_lightning.analyses.screen.analysis:ScreenAnalysis",
    "prediction": "un_lightning.analyses.prediction.analysis:PredictionAnalysis",
    "entropy": "un_lightning.analyses.entropy.analysis:EntropyAnalysis",
    "families": "un_lightning.analyses.families.analysis:FamiliesAnalysis",
    "weights": "un_lightning.analyses.weights.analysis:WeightsAnalysis",
}
"""Module and class of each `analysis.kind` that is a pass over models; imported when it is used.

Where a kind has several methods, one that is not the first has `kind/method`.
"""

REPORTS = {
    "properties": "un_lightning.analyses.properties.report:PropertiesReport",
    "published": "un_lightning.analyses.properties.published:PublishedReport",
}
"""Module and class of each `analysis.kind` that reads finished tables instead; imported when it is used."""

STUDIES = {
    "neuron_table": "un_lightning.studies.neuron_table:run_neuron_table",
    "replicate": "un_lightning.studies.replication.study:run_replicate",
    "emergence": "un_lightning.studies.emergence.study:run_emergence",
}
"""Module and function of each `analysis.kind` that is several runs and what they found together."""

KINDS = (*ANALYSES, *REPORTS, *STUDIES)
"""Every `analysis.kind`."""


def make_analysis(config: AnalysisConfig, family: "Family", seed: int) -> "Analysis":
    """Build the analysis that a config names.

    Raises:
        UserError: The models lack what the analysis reads.
    """
    method = f"{config.kind}/{getattr(config, 'method', '')}"
    return _find(ANALYSES.get(method, ANALYSES[config.kind]))(config, family, seed)


def make_report(config: AnalysisConfig, seed: int) -> "Callable[[], Results]":
    """Read the tables of the report that a config names; calling it gives its results.

    Raises:
        UserError: A table is missing or lacks what the report reads.
    """
    return _find(REPORTS[config.kind])(config, seed)


def find_study(kind: str) -> "Callable[..., None]":
    """The function that carries out a study of several runs."""
    return _find(STUDIES[kind])


def _find(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)
