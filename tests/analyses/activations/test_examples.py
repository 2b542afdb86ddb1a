"""Where an example stands in its document."""

import numpy as np
import pytest

from un_lightning.analyses.activations.examples import contexts
from un_lightning.config import DataConfig, DataSource
from un_lightning.data.blocks import Packer
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.writer import StoreWriter


CONTEXT = 6


@pytest.fixture
def blocks(tokenizer, tmp_path):
    """Documents of 3, 12 and 4 tokens in blocks of 5 behind a BOS: the second one fills several blocks."""
    (tmp_path / "partial").mkdir()
    writer = StoreWriter(tmp_path / "partial", Packer(CONTEXT, 0, 0))
    for first, length in ((310, 3), (400, 12), (500, 4)):
        writer.add([*range(first, first + length)], "prose")
    writer.finish(tmp_path / "store", {})
    config = DataConfig(source=DataSource.store, path=str(tmp_path / "store"), context=CONTEXT, tokens=24)
    data = TokenBlocks(config, tokenizer)
    data.setup("validate")
    return data


def test_position_in_the_document_counts_earlier_blocks(blocks):
    """Blocks: 310 311 312 EOS 400 | 401 … 405 | 406 … 410 | 411 EOS 500 501 502."""
    places = [(0, 1), (0, 3), (0, 5), (1, 1), (1, 5), (2, 2), (3, 1), (3, 3), (3, 5)]

    table = contexts(blocks, np.array([block * CONTEXT + position for block, position in places]), 2, 1)
    assert list(table["token_id"]) == [310, 312, 400, 401, 405, 407, 411, 500, 502]
    assert list(table["document_position"]) == [0, 2, 0, 1, 5, 7, 11, 0, 2]
    assert list(table["document"]) == [0, 0, 1, 1, 1, 1, 1, 2, 2]
    windows = [window.tolist() for window in table["context"]]
    assert windows[:4] == [[0, 310, 311], [310, 311, 312, 0], [312, 0, 400], [0, 401, 402]]
    assert list(table["at"])[:4] == [1, 2, 2, 1]


def test_a_token_in_front_of_every_document_has_no_position_there(blocks):

    table = contexts(blocks, np.array([0, CONTEXT]), 2, 1)
    assert list(table["document_position"]) == [-1, -1]
    assert list(table["token_id"]) == [0, 0]
