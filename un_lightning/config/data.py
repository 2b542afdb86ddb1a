"""Text and blocks."""

from dataclasses import dataclass
from enum import StrEnum

from un_lightning.config.checks import at_least, require


class DataSource(StrEnum):
    """Where the text comes from."""

    sample = "sample"
    local = "local"
    files = "files"
    hub = "hub"
    store = "store"


class Part(StrEnum):
    """Which documents of a source are read: a tenth, chosen by the hash of its name, is held out."""

    train = "train"
    held_out = "held_out"
    all = "all"


class Order(StrEnum):
    """Which documents a token budget takes: `seeded` draws from all of them, `given` takes the first ones."""

    seeded = "seeded"
    given = "given"


class Exclude(StrEnum):
    """Tokens that no statistic counts: `paper` is BOS, EOS, padding and the single newline."""

    paper = "paper"
    special = "special"
    none = "none"


@dataclass
class DataConfig:
    """Text, and how it becomes blocks of tokens."""

    source: DataSource = DataSource.sample
    path: str | None = None
    """files: file, folder or glob; hub: dataset id; store: folder of a store or saved `datasets` table."""
    subset_name: str | None = None
    """Hub: the dataset's configuration."""
    split: str = "train"
    """Split of a dataset on the hub."""
    revision: str | None = None
    """Branch, tag or commit of a dataset on the hub."""
    text_column: str = "text"
    """Column of the records that holds the text."""
    subset_column: str | None = None
    """Column of the subset label; dots reach into records, as in `meta.pile_set_name`."""
    subset: list[str] | None = None
    """Subsets that are read; null reads all."""
    part: Part = Part.all
    order: Order = Order.seeded
    """seeded: a token budget is a sample of all documents; given: the first documents of the first files."""
    draw: int = 0
    """Seed of the order of documents, and so of which ones a token budget draws."""
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
        at_least("data", self, context=2, tokens=1, batch_size=1, workers=0, min_characters=0, seed=0, draw=0)
        if self.source is DataSource.sample:
            require(
                self.part is not Part.train,
                "data.part=train: all text of data=sample is held out; use data=local or data=files to train",
            )
        elif self.source is not DataSource.local:
            require(self.path is not None, f"data.source={self.source} needs data.path")
