"""A small store, and one pass of an analysis over it in this process."""

import numpy as np
import pytest
from datasets import Dataset

from tests.analyses import parts
from un_lightning.config import DataConfig, DataSource, Exclude
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.models.tokenizers import load_tokenizer


VOCABULARY = 4096
CONTEXT = 16
BLOCKS = 40


@pytest.fixture(scope="session")
def tokenizer():
    """The tokenizer of the tiny family: BOS and EOS are 0, the single newline is 199."""
    return load_tokenizer("bundled:un_tiny/tokenizer")


@pytest.fixture(scope="session")
def tokens():
    """Blocks of random tokens behind a BOS, with some newlines that are not counted."""
    generator = np.random.default_rng(11)
    tokens = generator.integers(1, VOCABULARY, size=(BLOCKS, CONTEXT))
    tokens[:, 0] = 0
    tokens[::3, 5] = 199
    return tokens


@pytest.fixture(scope="session")
def store(tokens, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "blocks"
    Dataset.from_dict({"tokens": tokens.tolist()}).save_to_disk(folder)
    return folder


@pytest.fixture
def stream(store, tokenizer):
    """The blocks of a store, by default all of the one here."""

    def make(batch_size=8, blocks=BLOCKS, exclude=Exclude.paper, path=store):
        config = DataConfig(
            source=DataSource.store,
            path=str(path),
            context=CONTEXT,
            tokens=blocks * CONTEXT,
            batch_size=batch_size,
            exclude=exclude,
        )
        return TokenBlocks(config, tokenizer)

    return make


@pytest.fixture
def validate(stream, tmp_path):
    """Run an analysis over a store and return its results."""

    def run(analysis, *arguments, **options):
        return parts.validate(analysis, stream(*arguments, **options), tmp_path).results

    return run


@pytest.fixture
def in_parts(stream, tmp_path):
    """Run an analysis as a whole, to be compared with its parts."""

    def run(make, *arguments, whole=None, **options):
        return parts.Parts(make, lambda: stream(*arguments, **options), tmp_path, whole)

    return run
