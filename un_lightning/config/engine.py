"""Devices, and the record of a run."""

from dataclasses import dataclass, field
from enum import StrEnum

from un_lightning.config.checks import at_least, require


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


@dataclass
class TrainerConfig:
    """Devices and processes."""

    accelerator: str = "auto"
    """auto, cpu, gpu or mps."""
    devices: int = 1
    """Devices of each node; several need `strategy=ddp`."""
    nodes: int = 1
    """Machines."""
    strategy: Strategy = Strategy.auto
    threads: int | None = None
    """CPU threads of each process; null shares the cores out."""
    save_minutes: float = 5.0
    """A run that is killed loses at most this much work."""
    report_minutes: float = 2.0
    """How often a run says what it has found so far, and logs its speed and memory."""
    timeout_minutes: float = 30.0
    """A rank that waits longer than this for another ends with an error."""

    def __post_init__(self) -> None:
        require(
            self.accelerator in ("auto", "cpu", "gpu", "mps"),
            f"trainer.accelerator is '{self.accelerator}', allowed are auto, cpu, gpu, mps",
        )
        at_least("trainer", self, devices=1, nodes=1, save_minutes=0, report_minutes=0, timeout_minutes=0.1)
        require(
            self.threads is None or self.threads >= 1,
            f"trainer.threads is {self.threads}, but must be at least 1, or null to share the cores out",
        )
        many = self.devices * self.nodes > 1
        require(
            not many or self.strategy is Strategy.ddp, "several devices or nodes need trainer.strategy=ddp"
        )


@dataclass
class LoggerConfig:
    """The record of a run outside its folder."""

    kind: LoggerKind = LoggerKind.wandb
    project: str = "un-lightning"
    """W&B project."""
    entity: str | None = None
    """W&B user or team; null is the login's own."""
    mode: WandbMode = WandbMode.auto
    tags: list[str] = field(default_factory=list)
    """W&B tags."""
    notes: str | None = None
    """W&B notes; null says how to repeat the run."""
    pages: str | None = None
    """Address at which neuron pages are served (docs/neuron_pages.md), to which W&B's tables link."""
