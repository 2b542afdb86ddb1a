"""A tiny tokenizer, text in files, and stores made of it."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from un_lightning.config import DataConfig, DataSource


END = "<|endoftext|>"
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "that",
    "other",
    "cats",
    "sat",
    "there",
    "too",
    "while",
    "rain",
    "fell",
    "on",
    "roofs",
]


def train_bpe(**special):
    """A byte-level BPE of GPT-2's kind, trained on a few words."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([" ".join(WORDS), "\n".join(WORDS)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=16, **special)


@pytest.fixture(scope="session")
def tokenizer():
    return train_bpe(bos_token=END, eos_token=END)


@pytest.fixture
def endless_tokenizer():
    """A tokenizer without BOS and EOS; each test's own, which it may change."""
    return train_bpe()


def sentence(number: int) -> str:
    """A text of 3 to 30 words that no other number gives."""
    words = [WORDS[(number * 7 + i * (number % 5 + 1)) % len(WORDS)] for i in range(3 + number * 11 % 28)]
    return f"{number}: {' '.join(words)}"


@pytest.fixture
def jsonl(tmp_path):
    """Sixty documents of two subsets in one file."""
    path = tmp_path / "text.jsonl"
    records = [{"text": sentence(n), "meta": {"set": "ab"[n % 3 > 0]}} for n in range(60)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def text_config(tmp_path, jsonl):
    """Write the config of a source, by default the one file, with its stores in the test's folder."""

    def write(**changes):
        settings = {
            "source": DataSource.files,
            "path": str(jsonl),
            "subset_column": "meta.set",
            "min_characters": 0,
            "context": 16,
            "tokens": 640,
            "store": str(tmp_path / "stores"),
        }
        return DataConfig(**(settings | changes))

    return write
