"""All labels of a run: unique, equal to the functions behind them, chosen by the config."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.labels.conftest import VOCABULARY
from un_lightning.config import LabelsConfig
from un_lightning.errors import UserError
from un_lightning.labels import TokenLabels, build_labels, join_labels, vocabulary_labels
from un_lightning.labels.registry import REGISTRY


texts = st.one_of(
    st.text(max_size=8),
    st.builds(
        "".join, st.tuples(st.sampled_from(["", " ", "\n", "  "]), st.from_regex(r"[a-zA-Z0-9'.\-]{0,9}"))
    ),
)


@pytest.fixture(scope="module")
def labels(tokenizer):
    return build_labels(
        LabelsConfig(unigram_variants=2), tokenizer, VOCABULARY, subsets=["a", "b"], context=16
    )


def test_names_are_unique_over_everything(labels):
    tokens, in_context = labels
    names = [*tokens.names, *(name for part in in_context for name in part.names)]
    assert len(names) == len(set(names))
    assert len(tokens.names) == len(tokens.kinds) == tokens.matrix.shape[1]
    assert all(name.partition("/")[0] and name.partition("/")[2] for name in names)
    assert {"unigram", "topic", "letter", "prefix", "type"} <= set(tokens.kinds)
    assert [set(part.kinds) for part in in_context] == [{"subset"}, {"position"}]


@given(st.lists(texts, max_size=6))
def test_a_column_is_the_function_on_each_token(some):
    labels = vocabulary_labels(some)
    column = {name: index for index, name in enumerate(labels.names)}
    for row, text in enumerate(some):
        if text and "\ufffd" not in text:
            for family in REGISTRY.of_modules([]):
                held = set(family.of(text))
                for name in family.names.values():
                    assert bool(labels.matrix[row, column[name]]) == (name in held)


@given(texts)
def test_every_text_has_one_type_at_most_one_case_and_one_affix_of_a_sort(text):
    labels = vocabulary_labels([text])
    count = {
        kind: int(labels.of_kinds([kind]).matrix.sum())
        for kind in ("type", "case", "prefix", "suffix", "letter", "first_letter")
    }
    assert count["type"] == (text != "")
    assert all(number <= 1 for number in count.values())


@given(st.from_regex(r"[a-z]{1,10}", fullmatch=True))
def test_after_a_space_what_a_word_means_does_not_depend_on_its_capital(word):
    labels = vocabulary_labels([f" {word}", f" {word.capitalize()}"])
    kinds = ("letter", "first_letter", "pronoun", "function_word", "prefix", "suffix", "number")
    lower, title = labels.of_kinds(kinds).matrix
    torch.testing.assert_close(lower, title)


def test_names_of_tokens_that_a_table_could_mistake_for_nothing(tokenizer):
    """Method defect E9: no file stands between the tokens and their labels."""
    labels = vocabulary_labels(["NA", " null", "nan", " None", "1e5"])
    assert labels.matrix[:, labels.names.index("type/word")].tolist() == [True, True, True, True, False]


def test_rows_beyond_the_tokenizer_have_no_label(tokenizer):
    tokens, _ = build_labels(LabelsConfig(), tokenizer, VOCABULARY + 5)
    assert len(tokens.matrix) == VOCABULARY + 5
    assert not tokens.matrix[VOCABULARY:].any()
    assert tokens.matrix[:VOCABULARY].any(1).all()


def test_special_tokens_are_no_unigram(tokenizer, labels):
    tokens, _ = labels
    held = [name for name, holds in zip(tokens.names, tokens.matrix[0].tolist(), strict=True) if holds]
    assert held == ["type/special"]


def test_kinds_choose(tokenizer):
    config = LabelsConfig(kinds=["letter", "subset"])
    tokens, in_context = build_labels(config, tokenizer, VOCABULARY, subsets=["a", "b"], context=8)
    assert set(tokens.kinds) == {"letter"}
    assert len(tokens.names) == 26
    assert [part.names for part in in_context] == [["subset/a", "subset/b"]]


def test_one_subset_and_no_context_give_no_labels(tokenizer):
    _, in_context = build_labels(LabelsConfig(), tokenizer, VOCABULARY, subsets=["all"])
    assert in_context == []


def test_rare_labels_are_left_out(tokenizer):
    tokens, _ = build_labels(LabelsConfig(min_tokens=7), tokenizer, VOCABULARY)
    assert int(tokens.matrix.sum(0).min()) >= 7
    assert "letter/a" not in tokens.names
    assert "first_letter/a" in tokens.names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": ["lettre"]}, "kinds holds 'lettre'; known are case, dep, ent, first_letter"),
        ({"kinds": ["pos"]}, "asks for syntax: set analysis.labels.syntax=en_core_web_sm"),
        ({"topics": "no/such.yaml"}, "no/such.yaml cannot be read"),
        ({"modules": ["no_labels_here"]}, "no_labels_here cannot be imported"),
    ],
)
def test_what_is_not_to_be_had_is_named(tokenizer, changes, message):
    with pytest.raises(UserError) as error:
        build_labels(LabelsConfig(**changes), tokenizer, VOCABULARY)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules": ["my labels"]}, "analysis.labels.modules holds 'my labels'"),
        ({"modules": ["../mine.py"]}, "analysis.labels.modules holds '../mine.py'"),
        ({"min_tokens": 0}, "analysis.labels.min_tokens is 0, but must be at least 1"),
        ({"unigram_variants": 0}, "unigram_variants is 0"),
        ({"unigram_occurrences": -1}, "unigram_occurrences is -1"),
        ({"topics": ""}, "analysis.labels.topics is empty"),
        ({"syntax": ""}, "analysis.labels.syntax is empty"),
    ],
)
def test_bad_configs_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        LabelsConfig(**changes)


def test_labels_that_do_not_fit_are_refused():
    one = TokenLabels(["a/x"], ["a"], torch.zeros(3, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="defined twice: a/x"):
        join_labels([one, one])
    with pytest.raises(ValueError, match="different vocabularies"):
        join_labels([one, TokenLabels(["a/y"], ["a"], torch.zeros(4, 1, dtype=torch.bool))])
    with pytest.raises(ValueError, match="2 labels have 1 columns"):
        TokenLabels(["a/x", "a/y"], ["a", "a"], torch.zeros(3, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="1 labels have 2 kinds"):
        TokenLabels(["a/x"], ["a", "a"], torch.zeros(3, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="namespace/rest, unlike 'x'"):
        TokenLabels(["x"], ["a"], torch.zeros(3, 1, dtype=torch.bool))
