"""The skeleton of every analysis: a validation loop that adds batches to statistics.

An analysis says what it adds up (`begin`), how a batch is added (`add`) and what it found (`report`), and
where it walks over something else than blocks of tokens, over what (`stream`).
Reduction over ranks, resuming, progress and files are the same for all and are not its business.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from un_lightning.analyses.meeting import meeting
from un_lightning.config import AnalysisConfig, DataConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.stream import Stream
from un_lightning.errors import UserError
from un_lightning.memory import taken_bytes
from un_lightning.models.family import Family
from un_lightning.results.results import Results, results_of
from un_lightning.stats.statistic import AllReduce, Statistic, named_tensors


PLAN = "plan"
"""Name of the plan among what all ranks agree on."""


class Plan(NamedTuple):
    """How a stream is read."""

    passes: int = 1
    """How often."""
    bytes: int = 0
    """The most that an analysis takes on a device besides the models; 0 where it does not reckon."""


class Analysis(pl.LightningModule):
    """A pass over the frozen models of a family, of tokens through them unless `stream` says otherwise.

    Attributes:
        statistics: Everything that is added up, by name; filled by `begin`.
        position: Batches of this rank that are in the statistics.
        counted: Counted tokens in them; over all ranks once the pass is over.
        passes: How often the stream is read: more than once where memory does not hold everything.
        current: Which of these passes it is, from 0.
        finished: What earlier passes added up or found, saved with the rest; the same on every rank.
        planned: Bytes that this process will take on its device at most; 0 where that is not reckoned.
        complete: Whether the last pass is over.
        batches: Batches that this rank reads in all.
        subsets: Labels of the text that is read, where text is read.
        results: What was found, on rank 0, once the pass is over.
    """

    pilot_blocks = 1
    """Blocks that `begin` gets to look at before the pass."""

    def __init__(self, config: AnalysisConfig, family: Family, seed: int) -> None:
        super().__init__()
        self.settings = config
        self.family = family
        self.seed = seed
        self.members = nn.ModuleList(family.models.values())  # moves the models to the device
        self.statistics: dict[str, Statistic] = {}
        self.finished: dict[str, Statistic] = {}
        self.passes = 1
        self.current = 0
        self.complete = False
        self.position = 0
        self.counted = 0
        self.batches = 0
        self.subsets: list[str] = []
        self.planned = 0
        self.results: Results | None = None
        self._saved: dict[str, Tensor] | None = None

    def stream(self, config: DataConfig) -> Stream:
        """What the pass walks over.

        Raises:
            UserError: The models do not read such text.
        """
        return token_blocks(config, self.family)

    def pilot(self, data: Stream) -> Any:
        """What `look` gets to see: a few blocks."""
        return data.pilot(self.pilot_blocks)

    def look(self, pilot: Any) -> dict[str, Tensor]:  # noqa: ARG002
        """What must be known before the first batch, such as shifts; computed on rank 0 alone."""
        return {}

    def plan(self, known: Mapping[str, Tensor]) -> Plan:  # noqa: ARG002
        """How the stream must be read, knowing what `look` found; asked once, on rank 0."""
        return Plan()

    @abstractmethod
    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Make the statistics on `self.device`, knowing what `look` found."""

    def begin_pass(self) -> None:
        """Sort statistics into `statistics`, which pass `current` adds to, and `finished`."""

    def end_pass(self) -> None:
        """Take from the merged statistics what later passes leave no room for; called on every rank."""

    @abstractmethod
    def add(self, batch: Any) -> None:
        """Add one batch of the stream to the statistics."""

    @abstractmethod
    def report(self) -> Results:
        """Tables, figures and scalars from the statistics of all ranks; called on rank 0."""

    def after_batch(self) -> None:
        """What is due when a batch is in the sums and counted; nothing, for most analyses."""

    def glance(self) -> dict[str, float]:
        """What was found so far, in a few numbers that cost nothing; nothing, for most analyses."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """The tensors of every statistic, as they are saved."""
        return dict(named_tensors({**self.finished, **self.statistics}))

    def continue_from(
        self, known: dict[str, Tensor] | None, tensors: dict[str, Tensor] | None, current: int = 0
    ) -> None:
        """Take what an interrupted run saved; called before its pass begins."""
        self._known, self._saved, self.current = known, tensors, current

    def merge(self, name: str, reduce: AllReduce) -> None:
        """Merge one of `statistics` over the ranks, in place; every rank calls it once."""
        self.statistics[name].all_reduce(reduce)

    _known: dict[str, Tensor] | None = None
    _begun = False

    def on_validation_start(self) -> None:
        """Agree on what must be known, make the statistics, and load what was saved."""
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, Stream)
        self.subsets = data.facts().get("subsets", [])
        self.batches = self.position + int(self.trainer.num_val_batches[0])
        if self._begun:
            self.begin_pass()
            return
        known = self._known
        refused: UserError | None = None
        if self.trainer.is_global_zero and known is None:
            try:
                pilot = self.transfer_batch_to_device(self.pilot(data), self.device, 0)
                known = {name: value.cpu() for name, value in self.look(pilot).items()}
                known[PLAN] = torch.tensor(self.plan(known))
            except UserError as error:
                known, refused = None, error
        known = self.trainer.strategy.broadcast(known)
        if known is None:  # rank 0 speaks for all, and Lightning takes other codes for a crash
            raise refused or SystemExit(0)
        self._known = known
        self.passes, planned = known[PLAN].tolist()
        self.planned = planned and planned + taken_bytes(self.device)
        self.begin({name: value.to(self.device) for name, value in known.items() if name != PLAN})
        self.begin_pass()
        self._begun = True
        if self._saved is not None:
            for owner, statistic in {**self.finished, **self.statistics}.items():
                prefix = f"{owner}/"
                own = {n.removeprefix(prefix): t for n, t in self._saved.items() if n.startswith(prefix)}
                statistic.load(own)
            self._saved = None

    @property
    def known(self) -> dict[str, Tensor]:
        """What `look` found, as it is saved."""
        return self._known or {}

    def validation_step(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Add a batch and count it; None is what a rank gets that has nothing left to add."""
        if batch is None:
            return
        self.add(batch)
        self.position += 1
        self.counted += batch.count
        self.after_batch()

    def on_validation_epoch_end(self) -> None:
        """Add up over ranks; when the last pass is over, report on rank 0."""
        strategy = self.trainer.strategy
        counted = torch.tensor(self.counted, dtype=torch.int64, device=self.device)
        reduce = lambda tensor, operation: strategy.reduce(tensor, reduce_op=operation)
        with meeting(self.trainer.global_rank):
            reduce(counted, "sum")
            for name in sorted(self.statistics):
                self.merge(name, reduce)
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        self.counted = int(counted) // data.copies
        if self.counted == 0:
            raise UserError(
                "no token was counted: data.exclude leaves none of those that were read; "
                "read more tokens or choose another data.exclude"
            )
        self.end_pass()
        if self.current + 1 < self.passes:
            self.current += 1
            self.position = self.counted = 0
            return
        self.complete = True
        if self.trainer.is_global_zero:
            self.results = results_of(self.report)


def token_blocks(config: DataConfig, family: Family) -> TokenBlocks:
    """Blocks of tokens that every member of a family reads.

    Raises:
        UserError: The family has no tokenizer, or takes no input of this length.
    """
    if family.tokenizer is None:
        raise UserError(f"family {family.name} has no tokenizer: set data.tokenizer to a hub id or a folder")
    if family.context is not None and config.context > family.context:
        raise UserError(
            f"data.context={config.context} is longer than the models' context of {family.context}: "
            f"set data.context={family.context} or less"
        )
    return TokenBlocks(config, family.tokenizer)
