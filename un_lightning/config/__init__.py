"""Schemas of every config group: what can be set, its type, its default and its limits.

Hydra checks names and types against these dataclasses; `__post_init__` checks ranges and combinations
when a config is turned into objects. Nothing here imports torch, so a mistake is answered at once.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from un_lightning.config import search_path
from un_lightning.config.ablation import AblationConfig
from un_lightning.config.activations import ActivationsConfig
from un_lightning.config.analysis import AnalysisConfig, OneModelConfig
from un_lightning.config.attention import AttentionConfig
from un_lightning.config.checks import require
from un_lightning.config.correlation import (
    Baseline,
    BaselineOf,
    CorrelationConfig,
    Gemm,
    MeasureName,
    Method,
    Pairs,
    Split,
)
from un_lightning.config.data import DataConfig, DataSource, Exclude, Order, Part
from un_lightning.config.declarations import Declaration, Way
from un_lightning.config.emergence import EmergenceConfig
from un_lightning.config.engine import LoggerConfig, LoggerKind, Strategy, TrainerConfig, WandbMode
from un_lightning.config.entropy import EntropyConfig
from un_lightning.config.families import FamiliesConfig, FamilyCriteria
from un_lightning.config.labels import LabelsConfig
from un_lightning.config.models import MemberConfig, ModelsConfig, ModelSource, Site
from un_lightning.config.neuron_table import NeuronTableConfig
from un_lightning.config.prediction import PredictionConfig
from un_lightning.config.properties import PropertiesConfig, PublishedConfig
from un_lightning.config.replication import ReplicateConfig
from un_lightning.config.training import LanguageModelConfig, TokenizerConfig, TrainingConfig
from un_lightning.config.weights import Vocabulary, Weights, WeightsConfig


__all__ = [
    "AblationConfig",
    "ActivationsConfig",
    "AnalysisConfig",
    "AttentionConfig",
    "Baseline",
    "BaselineOf",
    "Config",
    "CorrelationConfig",
    "DataConfig",
    "DataSource",
    "Declaration",
    "EmergenceConfig",
    "EntropyConfig",
    "Exclude",
    "FamiliesConfig",
    "FamilyCriteria",
    "Gemm",
    "LabelsConfig",
    "LanguageModelConfig",
    "LoggerConfig",
    "LoggerKind",
    "MeasureName",
    "MemberConfig",
    "Method",
    "ModelSource",
    "ModelsConfig",
    "NeuronTableConfig",
    "OneModelConfig",
    "Pairs",
    "Order",
    "Part",
    "Site",
    "PredictionConfig",
    "PropertiesConfig",
    "PublishedConfig",
    "ReplicateConfig",
    "Split",
    "Strategy",
    "TokenizerConfig",
    "TrainerConfig",
    "TrainingConfig",
    "Vocabulary",
    "WandbMode",
    "Way",
    "Weights",
    "WeightsConfig",
    "register_schemas",
]


@dataclass
class Config:
    """Everything that a run depends on."""

    name: str = MISSING
    """Name of the experiment; runs lie in `<root>/<name>/<time>`."""
    seed: int = 0
    """Of the reading order, of random models and of everything else that is drawn."""
    run_dir: str | None = None
    """Folder of this run; null makes `<root>/<name>/<time>`."""
    root: str = "runs"
    """Folder of all runs."""
    resume: str = "never"
    """`never`, `auto` (the newest unfinished run of this config) or the folder of a run."""
    models: Any = None
    data: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    analysis: Any = None
    training: Any = None

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed is {self.seed}, but must be at least 0 and below 2^32")
        require(bool(self.resume), "resume is empty: set it to never, auto or the folder of a run")


SCHEMAS: dict[str, dict[str, type]] = {
    "models": {"family": ModelsConfig},
    "data": {"text": DataConfig},
    "trainer": {"lightning": TrainerConfig},
    "logger": {"record": LoggerConfig},
    "training": {"language_model": LanguageModelConfig, "tokenizer": TokenizerConfig},
}


def register_schemas() -> None:
    """Make every schema known to Hydra as `/schema/<group>/<name>`; analyses are found by `registry`."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, nodes in SCHEMAS.items():
        for name, node in nodes.items():
            store.store(group=f"schema/{group}", name=name, node=node, package=group)
    search_path.register()
