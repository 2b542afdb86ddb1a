"""Schemas of every config group: what can be set, its type, its default and its limits.

Hydra checks names and types against these dataclasses; `__post_init__` checks ranges and combinations
when a config is turned into objects. Nothing here imports torch, so a mistake is answered at once.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class ModelSource(StrEnum):
    """Where the members of a family come from."""

    hub = "hub"
    local = "local"
    random = "random"
    loader = "loader"


class Site(StrEnum):
    """A place in a transformer whose coordinates are the units of an analysis (docs/architecture.md)."""

    mlp_pre = "mlp_pre"
    mlp_post = "mlp_post"
    mlp_out = "mlp_out"
    attn_z = "attn_z"
    resid_post = "resid_post"
    units = "units"


class DataSource(StrEnum):
    """Where the text comes from."""

    local = "local"
    files = "files"
    hub = "hub"
    store = "store"


class Part(StrEnum):
    """Which documents of a source are read: a tenth, chosen by the hash of its name, is held out."""

    train = "train"
    held_out = "held_out"
    all = "all"


class Exclude(StrEnum):
    """Tokens that no statistic counts: `paper` is BOS, EOS, padding and the single newline."""

    paper = "paper"
    special = "special"
    none = "none"


class Strategy(StrEnum):
    """How Lightning spreads a run over processes."""

    auto = "auto"
    ddp = "ddp"


class LoggerKind(StrEnum):
    """Where scalars, tables and figures go besides the run folder."""

    wandb = "wandb"
    csv = "csv"
    none = "none"


class WandbMode(StrEnum):
    """`auto` is online for who is logged in and offline for everybody else."""

    auto = "auto"
    online = "online"
    offline = "offline"


class Pairs(StrEnum):
    """`star` pairs the reference with every other member; `all` takes every pair of members."""

    star = "star"
    all = "all"


class Baseline(StrEnum):
    """Random matrices of the rotation baseline: Haar orthogonal, or Gaussian with rows of length one."""

    rotation = "rotation"
    gaussian_rows = "gaussian_rows"


class Gemm(StrEnum):
    """Input type of the matrix products; the accumulator is float32 in every case."""

    auto = "auto"
    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _at_least(owner: str, config: Any, **minima: float) -> None:
    for name, minimum in minima.items():
        value = getattr(config, name)
        _require(value >= minimum, f"{owner}.{name} is {value}, but must be at least {minimum}")


@dataclass
class MemberConfig:
    """One model of a family."""

    name: str = MISSING
    """How tables and figures call it."""
    path: str | None = None
    """Hub id, local folder, or `bundled:<folder>` for a model that is shipped with the package."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    seed: int | None = None
    """Seed of the weights where `models.source` is random."""


@dataclass
class ModelsConfig:
    """A family: models that share a tokenizer and differ by seed, checkpoint, size or data."""

    family: str = MISSING
    source: ModelSource = ModelSource.hub
    members: list[MemberConfig] = MISSING
    reference: str = MISSING
    """The member that the others are compared with."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """`model_type` and the settings of a transformers config, where `source` is random."""
    loader: str | None = None
    """`package.module.function` that takes a member and returns an `nn.Module`, where `source` is loader."""
    units: str | None = None
    """Glob over module names whose outputs [batch, position, unit] are the units, such as `blocks.*.act`."""
    tokenizer: str | None = None
    """Hub id, folder or `bundled:` folder; null takes the members' own."""
    allow_pickle: bool = False
    """Load weights from pickled files, which can run code. Safetensors only, otherwise."""
    allow_remote_code: bool = False
    """Run model code that comes with a checkpoint."""

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        _require(len(names) > 0, "models.members is empty: name at least one model")
        _require(len(set(names)) == len(names), f"models.members holds a name twice: {names}")
        _require(
            self.reference in names, f"models.reference is '{self.reference}', but the members are {names}"
        )
        if self.source is ModelSource.loader:
            _require(self.loader is not None, "models.source=loader needs models.loader=package.function")
            _require(self.units is not None, "models.source=loader needs models.units, a glob of modules")
        elif self.source is ModelSource.random:
            _require(
                "model_type" in self.architecture,
                "models.source=random needs models.architecture with model_type (gpt2, gpt_neox, llama, …)",
            )
        else:
            for member in self.members:
                _require(
                    member.path is not None, f"models.members: '{member.name}' has no path (hub id or folder)"
                )


@dataclass
class DataConfig:
    """Text, and how it becomes blocks of tokens."""

    source: DataSource = DataSource.local
    path: str | None = None
    """files: file, folder or glob; hub: dataset id; store: folder of a store or of a saved `datasets` table."""
    subset_name: str | None = None
    """Hub: the dataset's configuration."""
    split: str = "train"
    revision: str | None = None
    text_column: str = "text"
    subset_column: str | None = None
    """Column of the subset label; dots reach into records, as in `meta.pile_set_name`."""
    part: Part = Part.all
    min_characters: int = 50
    """Shorter documents are dropped (the paper drops those of at most 50 characters)."""
    tokenizer: str | None = None
    """Hub id, folder or `bundled:` folder; null takes the tokenizer of the models."""
    context: int = 128
    """Tokens a block, with its BOS."""
    tokens: int = 1_000_000
    """Tokens that a run reads, rounded up to whole blocks."""
    exclude: Exclude = Exclude.paper
    seed: int = 0
    """Seed of the order in which blocks are read."""
    batch_size: int = 32
    """Blocks a batch, on each rank."""
    workers: int = 0
    """Processes that load batches; 0 loads in the main process."""
    store: str | None = None
    """Folder in which stores are kept; null is `UN_LIGHTNING_CACHE` or `~/.cache/un-lightning`."""

    def __post_init__(self) -> None:
        _at_least("data", self, context=2, tokens=1, batch_size=1, workers=0, min_characters=0)
        if self.source is not DataSource.local:
            _require(self.path is not None, f"data.source={self.source} needs data.path")


@dataclass
class TrainerConfig:
    """Devices and processes."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: Strategy = Strategy.auto
    threads: int | None = None
    """CPU threads of each process; null shares the cores out."""
    save_minutes: float = 5.0
    """A run that is killed loses at most this much work."""
    timeout_minutes: float = 30.0
    """A rank that waits longer than this for another ends with an error."""

    def __post_init__(self) -> None:
        _require(
            self.accelerator in ("auto", "cpu", "gpu", "mps"),
            f"trainer.accelerator is '{self.accelerator}', allowed are auto, cpu, gpu, mps",
        )
        _at_least("trainer", self, devices=1, nodes=1, save_minutes=0, timeout_minutes=0.1)
        many = self.devices * self.nodes > 1
        _require(
            not many or self.strategy is Strategy.ddp, "several devices or nodes need trainer.strategy=ddp"
        )


@dataclass
class LoggerConfig:
    """The record of a run outside its folder."""

    kind: LoggerKind = LoggerKind.wandb
    project: str = "un-lightning"
    entity: str | None = None
    mode: WandbMode = WandbMode.auto
    tags: list[str] = field(default_factory=list)
    notes: str | None = None


@dataclass
class AnalysisConfig:
    """What every analysis has."""

    kind: str = MISSING
    """Name in the registry of analyses."""


@dataclass
class CorrelationConfig(AnalysisConfig):
    """Correlation of every pair of units of two models, with its baseline (paper sections 3 and 4)."""

    kind: str = "correlation"
    site: Site = Site.mlp_post
    pairs: Pairs = Pairs.star
    threshold: float = 0.5
    """Excess correlation above which a unit is universal."""
    baseline: Baseline = Baseline.rotation
    draws: int = 3
    """Random matrices a layer; their spread is the baseline's standard error."""
    top_k: int = 10
    """Best and worst partners kept a unit (the reference scripts keep 50)."""
    bins: int = 100
    """Bins of each unit's histogram of correlations over [-1, 1]."""
    gemm: Gemm = Gemm.auto
    tile: int = 4096
    """Rows of the correlation matrix that are reduced at a time."""
    pilot: int = 4
    """Blocks whose mean activation is subtracted from all others, for precision."""

    def __post_init__(self) -> None:
        _at_least("analysis", self, draws=1, top_k=1, bins=1, tile=1, pilot=1)
        _require(-2 <= self.threshold <= 2, f"analysis.threshold is {self.threshold}, outside [-2, 2]")


@dataclass
class TrainingConfig:
    """What every training has."""

    kind: str = MISSING
    """`language_model` or `tokenizer`."""


@dataclass
class LanguageModelConfig(TrainingConfig):
    """A small GPT-2, trained from scratch."""

    kind: str = "language_model"
    layers: int = 4
    width: int = 128
    heads: int = 4
    steps: int = 2_400
    batch_size: int = 32
    """Blocks a step."""
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    gradient_clip: float = 1.0
    precision: str = "32-true"
    """Lightning's precision flag, such as bf16-mixed."""
    checkpoints: int = 0
    """Models kept at this many steps, spaced evenly in the logarithm of the step."""
    validation_tokens: int = 200_000

    def __post_init__(self) -> None:
        _at_least("training", self, layers=1, width=1, heads=1, steps=1, batch_size=1, checkpoints=0)
        _require(
            self.width % self.heads == 0,
            f"training.width {self.width} is no multiple of heads {self.heads}",
        )


@dataclass
class TokenizerConfig(TrainingConfig):
    """A byte-level BPE, trained on the source's text."""

    kind: str = "tokenizer"
    vocabulary: int = 4_096
    characters: int = 30_000_000
    """Text that it is trained on."""

    def __post_init__(self) -> None:
        _at_least("training", self, vocabulary=258, characters=1)


@dataclass
class Config:
    """Everything that a run depends on."""

    name: str = MISSING
    """Name of the experiment; runs lie in `<root>/<name>/<time>`."""
    seed: int = 0
    run_dir: str | None = None
    """Folder of this run; null makes `<root>/<name>/<time>`."""
    root: str = "runs"
    resume: str = "never"
    """`never`, `auto` (the newest unfinished run of this config) or the folder of a run."""
    models: Any = None
    data: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    analysis: Any = None
    training: Any = None


SCHEMAS: dict[str, dict[str, type]] = {
    "models": {"family": ModelsConfig},
    "data": {"text": DataConfig},
    "trainer": {"lightning": TrainerConfig},
    "logger": {"record": LoggerConfig},
    "analysis": {"correlation": CorrelationConfig},
    "training": {"language_model": LanguageModelConfig, "tokenizer": TokenizerConfig},
}


def register_schemas() -> None:
    """Make every schema known to Hydra as `/schema/<group>/<name>`, out of sight of the option lists."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, nodes in SCHEMAS.items():
        for name, node in nodes.items():
            store.store(group=f"schema/{group}", name=name, node=node, package=group)
