"""Loading tokenizers and telling them apart."""

import pytest
from tokenizers import normalizers

from un_lightning.errors import UserError
from un_lightning.models.tokenizers import load_tokenizer, tokenizer_fingerprint


PROSE = "the quick brown fox jumps over the lazy dog " * 9
CODE = "def run(self): return [x for x in range(10)] " * 9


def test_a_saved_tokenizer_loads_as_it_was(train_tokenizer, tmp_path):
    tokenizer = train_tokenizer(PROSE)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path))
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(tokenizer)
    assert loaded("the fox")["input_ids"] == tokenizer("the fox")["input_ids"]


def test_another_vocabulary_is_another_tokenizer(train_tokenizer):
    prints = {tokenizer_fingerprint(train_tokenizer(text, 300)) for text in (PROSE, CODE, PROSE)}
    assert len(prints) == 2


def test_the_same_vocabulary_can_be_another_tokenizer(train_tokenizer):
    one, other = train_tokenizer(PROSE), train_tokenizer(PROSE)
    other.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert one.get_vocab() == other.get_vocab()
    assert tokenizer_fingerprint(one) != tokenizer_fingerprint(other)


def test_a_folder_without_tokenizer(build_model, tmp_path):
    """transformers answers with an empty tokenizer."""
    build_model("gpt2").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"holds no tokenizer; set models\.tokenizer"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("path", ["nobody/nothing", "a/b/c/d"])
def test_an_unreachable_tokenizer(path):
    with pytest.raises(UserError, match=f"no tokenizer loads from '{path}'"):
        load_tokenizer(path)


def test_a_broken_tokenizer(train_tokenizer, tmp_path):
    train_tokenizer(PROSE).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="no tokenizer loads from"):
        load_tokenizer(str(tmp_path))
