"""A small store, and one pass of an analysis over it in this process."""

import numpy as np
import pytest
from datasets import Dataset

from un_lightning.config import DataConfig, DataSource, Exclude, TrainerConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.lightning import make_trainer
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
def validate(store, tokenizer, tmp_path):
    """Run an analysis over the store and return its results."""

    def run(analysis, batch_size=8, blocks=BLOCKS, exclude=Exclude.paper, path=store):
        config = DataConfig(
            source=DataSource.store,
            path=str(path),
            context=CONTEXT,
            tokens=blocks * CONTEXT,
            batch_size=batch_size,
            exclude=exclude,
        )
        trainer = make_trainer(TrainerConfig(accelerator="cpu", threads=1), None, tmp_path)
        data = TokenBlocks(config, tokenizer)
        while not analysis.complete:
            trainer.validate(analysis, datamodule=data, verbose=False)
        return analysis.results

    return run
