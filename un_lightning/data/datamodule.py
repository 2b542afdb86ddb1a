"""The Lightning side of the data: makes the store on one process and hands each rank its blocks."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from un_lightning.config import DataConfig, DataSource, Exclude
from un_lightning.data.bounds import refuse_too_much
from un_lightning.data.loader import Batch, BlockBatches
from un_lightning.data.prepare import blocks_needed, prepare_store, special_ids
from un_lightning.data.store import Store
from un_lightning.data.stream import Stream, loader
from un_lightning.data.stretches import (
    Documents,
    documents_of,
    effective_number,
    find_stretches,
    group_numbers,
    reading_order,
    share,
)
from un_lightning.errors import UserError
from un_lightning.models.tokenizers import tokenizer_fingerprint
from un_lightning.terminal import note


FEW_DOCUMENTS = 30
"""Of one size, below which the summary says so."""
READ_BY = "stretches of whole documents"
"""The way in which a store is read; a run that began before another way goes on with no sums of it."""


def excluded_ids(policy: Exclude, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Token ids that a policy excludes.

    `special` is BOS, EOS and padding. `paper` adds the single newline, which the published correlations
    leave out because it acts like a second BOS (method section A).
    """
    if policy is Exclude.none:
        return ()
    ids = {*special_ids(tokenizer)}
    if isinstance(tokenizer.pad_token_id, int):
        ids.add(tokenizer.pad_token_id)
    if policy is Exclude.paper:
        newline = tokenizer.encode("\n", add_special_tokens=False)
        if len(newline) == 1:
            ids.add(newline[0])
    return tuple(sorted(ids))


@cache
def _say_once(line: str) -> None:
    """Say what a store holds, once and not for every part of a study."""
    if line:
        note(line)


class TokenBlocks(Stream):
    """Blocks of one store in one seeded order, shared out over the ranks without padding or repeats.

    Attributes:
        cut_groups: Groups whose borders no batch may reach across; 0 where batches need not know of groups.
    """

    def __init__(self, config: DataConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.cut_groups = 0
        self.config = config
        self.tokenizer = tokenizer
        self.excluded = excluded_ids(config.exclude, tokenizer)
        self.folder: Path | None = None
        self.is_open = False

    def prepare_data(self) -> None:
        """Make the store if it is missing; one process of each node does it, once."""
        if self.folder is None:
            refuse_too_much(self.config)
            self.folder = prepare_store(self.config, self.tokenizer)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Open the store and check that it holds what the run asks for; a second call changes nothing.

        Raises:
            UserError: Too few tokens, another context length, or token ids beyond the tokenizer.
        """
        if self.is_open:
            return
        first = self.trainer is None or self.trainer.local_rank == 0
        self.prepare_data()
        assert self.folder is not None
        self.store = Store(self.folder, check=first)
        needed = blocks_needed(self.config)
        context = self.config.context
        if self.store.context != context:
            raise UserError(
                f"the blocks of {self.store.folder} have {self.store.context} tokens, "
                f"data.context is {context}: set data.context={self.store.context}"
            )
        if self.store.blocks < needed:
            held = self.store.blocks * context
            where = "store" if self.config.source is DataSource.store else f"source ({self.config.source})"
            raise UserError(
                f"data.tokens={self.config.tokens:,} is more than the {where} holds, {held:,} tokens "
                f"in blocks of {context}: set data.tokens={held} or less"
            )
        _, eos = special_ids(self.tokenizer)
        every = documents_of(self.store, np.arange(self.store.blocks), eos)
        self.reading = reading_order(find_stretches(self.store, every), needed, self.config.seed)
        self.order = self.reading.blocks
        self.count_documents(every if len(self.order) == self.store.blocks else None)
        if self.config.source is DataSource.store and first:
            self._check_tokenizer()
        if self.trainer is None or self.trainer.is_global_zero:
            _say_once(self.store.description())
        self.is_open = True

    def count_documents(self, known: Documents | None = None) -> None:
        """Count the documents that are read, and those of one size that would tell as much.

        Args:
            known: Of the blocks that are read; None looks at them.
        """
        _, eos = special_ids(self.tokenizer)
        tokens = (known or documents_of(self.store, self.order, eos)).tokens
        self.documents, self.effective_documents = int((tokens > 0).sum()), effective_number(tokens)

    def _check_tokenizer(self) -> None:
        """Refuse a store of somebody else's tokens: its ids would be other text, or none at all."""
        made_with = self.store.manifest.get("tokenizer")
        if made_with is not None and made_with != tokenizer_fingerprint(self.tokenizer):
            raise UserError(
                f"the store {self.store.folder} was made with another tokenizer than that of the models: "
                "make one for these models with experiments/prepare.py"
            )
        known = max(self.tokenizer.get_vocab().values())
        highest = self.store.highest(self.order)
        if highest > known:
            raise UserError(
                f"the store {self.store.folder} holds token {highest}, but the tokenizer ends at {known}: "
                "use a store that was made with the tokenizer of the models"
            )

    @property
    def tokens(self) -> int:
        """Tokens that all ranks read together."""
        return len(self.order) * self.config.context

    @property
    def total(self) -> int:
        """Tokens that all ranks read together."""
        return self.tokens

    def size(self, batch: Batch | None) -> int:
        """Tokens of a batch."""
        return 0 if batch is None else batch.tokens.numel()

    def done(self, position: int, world: int) -> int:
        """Tokens in the first `position` batches of each rank, were all of them full."""
        return position * self.config.batch_size * self.config.context * world

    def fingerprint(self) -> str:
        """That of the store, whose text may have changed since a run began, and of the way it is read."""
        return f"{self.store.fingerprint}, {READ_BY}"

    def groups(self, count: int) -> Int64[Tensor, " blocks"]:
        """Group of whole documents of each block of the store, from which errors are estimated.

        The same for any batch size and any number of ranks.

        Args:
            count: How many groups at most.

        Returns:
            Groups from 0 on; 0 for blocks that are not read.
        """
        found = np.zeros(self.store.blocks, dtype=np.int64)
        found[self.order] = group_numbers(self.reading, count)
        return torch.from_numpy(found)

    def facts(self) -> dict[str, Any]:
        """Tokens read, subsets and their shares, and which tokens no statistic counts."""
        counts = np.bincount(self.store.subset[self.order], minlength=len(self.store.subsets))
        shares = zip(self.store.subsets, (counts / len(self.order)).round(4).tolist(), strict=True)
        return {
            "tokens": self.tokens,
            "subsets": self.store.subsets,
            "subset_shares": dict(shares),
            "exclude": str(self.config.exclude),
            "excluded_ids": list(self.excluded),
            "documents": self.documents,
            "documents/effective": round(self.effective_documents, 1),
        } | self._few_documents()

    def _few_documents(self) -> dict[str, str]:
        """What the summary says where errors over documents are rough."""
        if self.effective_documents >= FEW_DOCUMENTS:
            return {}
        as_good_as = (
            f"{self.documents:,} documents tell as much as {self.effective_documents:.1f} of one size"
        )
        return {"documents/few": f"{as_good_as}: errors over text are rough, and may be too small"}

    def batches(self, rank: int, world: int, start: int = 0) -> BlockBatches:
        """The batches of one rank, without the first `start`."""
        _, eos = special_ids(self.tokenizer)
        own = share(self.reading, rank, world)
        return BlockBatches(
            self.store, self.order[own], self.config.batch_size, self.excluded, eos, start, self.cuts(own)
        )

    def cuts(self, own: slice) -> list[int]:
        """Where groups end inside of a rank's part of the order, counted from its beginning."""
        if not self.cut_groups:
            return []
        numbers = group_numbers(self.reading, self.cut_groups)[own]
        return (np.flatnonzero(np.diff(numbers)) + 1).tolist()

    @property
    def stretch(self) -> float:
        """Blocks of the stretch in which a block lies, on average over blocks."""
        lengths = np.bincount(self.reading.stretch)
        return float(np.square(lengths).sum() / lengths.sum())

    def pilot(self, blocks: int) -> Batch:
        """A few blocks from all over the order as one batch, the same on every rank."""
        _, eos = special_ids(self.tokenizer)
        chosen = self.order[:: max(1, len(self.order) // blocks)][:blocks]
        return BlockBatches(self.store, chosen, blocks, self.excluded, eos)[0]

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of this rank from `start` on, for `Trainer.validate`."""
        assert self.trainer is not None
        rank, world = (
            number // self.copies for number in (self.trainer.global_rank, self.trainer.world_size)
        )
        batches = self.batches(rank, world, self.start)
        return loader(batches, self.config.workers)
