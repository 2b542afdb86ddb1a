"""A byte-level BPE tokenizer, trained on a source's text."""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from un_lightning.config import DataConfig, TokenizerConfig
from un_lightning.data.sources import open_source


END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(data: DataConfig, config: TokenizerConfig, folder: Path) -> dict[str, int]:
    """Train GPT-2's kind of tokenizer and save it; `<|endoftext|>` with id 0 is BOS and EOS.

    Returns:
        Characters read for each subset.
    """
    read: dict[str, int] = {}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(data, config.characters, read), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        model_max_length=128,
    )
    wrapped.save_pretrained(folder)
    return read


def _texts(data: DataConfig, characters: int, read: dict[str, int]) -> Iterator[str]:
    for document in open_source(data):
        read[document.subset] = read.get(document.subset, 0) + len(document.text)
        yield document.text
        if sum(read.values()) >= characters:
            return
