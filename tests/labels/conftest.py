"""The tokenizer of the tiny family, and batches made of documents."""

import pytest
import torch

from un_lightning.data.loader import Batch
from un_lightning.labels.decoding import decode_vocabulary
from un_lightning.models.tokenizers import load_tokenizer


EOS = 0
VOCABULARY = 4096


@pytest.fixture(scope="session")
def tokenizer():
    return load_tokenizer("bundled:un_tiny/tokenizer")


@pytest.fixture(scope="session")
def decoded(tokenizer):
    return decode_vocabulary(tokenizer, VOCABULARY)


@pytest.fixture(scope="session")
def pack(tokenizer):
    """One block of a BOS and some documents, each with its EOS, cut to `context` tokens if that is given."""

    def make(*texts, context=None):
        ids, document = [EOS], [-1]
        for number, text in enumerate(texts):
            own = [*tokenizer(text)["input_ids"], EOS]
            ids += own
            document += [number] * len(own)
        return batch_of([ids[:context]], [document[:context]])

    return make


def batch_of(tokens, document, subset=None):
    tokens = torch.tensor(tokens)
    counted = tokens != EOS
    return Batch(
        tokens,
        counted,
        (~counted).flatten().nonzero().flatten(),
        torch.tensor(document),
        torch.tensor(subset or [0] * len(tokens)),
        torch.arange(len(tokens)),
        int(counted.sum()),
    )
