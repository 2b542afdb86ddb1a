"""Blocks of tokens that are in memory already, as a stream."""

from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Int
from numpy import ndarray
from transformers import PreTrainedTokenizerBase

from un_lightning.config import DataConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.store import Store
from un_lightning.data.stretches import Order


class HeldStore(Store):
    """A store that lies in memory; documents are told apart by their EOS, as in a foreign table."""

    def __init__(self, tokens: Int[ndarray, "blocks context"]) -> None:
        """Hold blocks.

        Args:
            tokens: Token ids, not copied.
        """
        self.folder, self.manifest, self.document = Path(), {}, None
        self.held = tokens
        self.blocks, self.context = tokens.shape
        self.subsets = ["all"]
        self.subset = np.zeros(self.blocks, dtype=np.int64)
        self.offset = np.zeros(self.blocks, dtype=np.int64)
        self.fingerprint = xxhash.xxh3_128_hexdigest(tokens.tobytes())

    def read(self, rows: Int[ndarray, " blocks"]) -> Int[ndarray, "blocks context"]:
        """Tokens of the blocks `rows`, as int64."""
        return self.held[rows].astype(np.int64)


class HeldBlocks(TokenBlocks):
    """Blocks in the order in which they are given."""

    def __init__(
        self, config: DataConfig, tokenizer: PreTrainedTokenizerBase, tokens: Int[ndarray, "blocks context"]
    ) -> None:
        """Line the blocks up.

        Args:
            config: Batch size and excluded tokens; what it says of a source is not read.
            tokenizer: That of the models.
            tokens: Token ids.
        """
        super().__init__(config, tokenizer)
        self.store = HeldStore(tokens)
        every = np.arange(self.store.blocks)
        self.reading = Order(every, every)  # as they are given, so groups are runs of neighbours
        self.order = every
        self.count_documents()
        self.is_open = True

    def prepare_data(self) -> None:
        """Nothing is to be made."""
