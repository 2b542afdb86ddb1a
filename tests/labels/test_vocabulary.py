"""Labels of a token's text, on lists that were checked by hand."""

import pytest

from un_lightning.labels import vocabulary_labels
from un_lightning.labels.affixes import PREFIXES, SUFFIXES
from un_lightning.labels.whole_word import whole_word


def having(name, *texts):
    """Those texts that have a label."""
    labels = vocabulary_labels(texts)
    column = labels.matrix[:, labels.names.index(name)]
    return [text for text, holds in zip(texts, column.tolist(), strict=True) if holds]


def labels_of(text, kind):
    """Names, without the namespace, of a text's labels of one kind."""
    labels = vocabulary_labels([text])
    return {
        name.partition("/")[2]
        for name, of, holds in zip(labels.names, labels.kinds, labels.matrix[0].tolist(), strict=True)
        if holds and of == kind
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" the", "word"), ("STOP", "word"), (" été", "word"), (" 你好", "word"), ("NA", "word"),
        (" null", "word"),
        ("7", "number"), (" 1998", "number"), ("٣", "number"),
        (".", "symbol"), (" ->", "symbol"), ("----", "symbol"), (" $", "symbol"),
        (" ", "whitespace"), ("\n\n", "whitespace"), ("\t", "whitespace"),
        ("'s", "mixed"), ("x2", "mixed"), (" 3.", "mixed"), (".com", "mixed"), ("a b", "mixed"),
        ("²", "mixed"),
        (" \ufffd", "broken_utf8"), ("a\ufffd", "broken_utf8"),
    ],
)  # fmt: skip
def test_a_token_has_one_type(text, expected):
    assert labels_of(text, "type") == {expected}


def test_broken_special_and_empty_texts_have_no_other_label():
    labels = vocabulary_labels(["\ufffd 1,", "<|endoftext|>", ""], special=[1])
    rows = [
        [name for name, holds in zip(labels.names, row, strict=True) if holds]
        for row in labels.matrix.tolist()
    ]
    assert rows == [["type/broken_utf8"], ["type/special"], []]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" the", {"lower"}), (" The", {"title"}), (" THE", {"upper"}), (" T", {"single_capital"}),
        ("t", {"lower"}),
        ("iPhone", {"mixed"}), ("DataFrame", {"mixed"}), ("'S", {"single_capital"}), ("Don't", {"title"}),
        ("12", set()), ("...", set()), (" 你好", set()), ("ǅ", {"single_capital"}), ("x1", {"lower"}),
    ],
)  # fmt: skip
def test_case(text, expected):
    assert labels_of(text, "case") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (",", {"comma"}), ('",', {"comma", "quote"}), ("'s", {"apostrophe"}), ("’t", {"apostrophe"}),
        ("...", {"period", "repeated"}), ("//", {"slash", "repeated"}), ("://", {"slash", "colon"}),
        (" -", {"hyphen"}), ("—", {"dash"}), ("€5", {"currency"}), ("({", {"left_parenthesis", "left_brace"}),
        ("aa", set()), ("11", set()), ("  ", set()), (" word", set()),
    ],
)  # fmt: skip
def test_symbols(text, expected):
    assert labels_of(text, "symbol") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n", {"newline"}), ("\n\n", {"newline", "blank_line"}), ("\n  ", {"newline", "run"}),
        ("  ", {"run"}),
        (" ", set()), ("\t", {"tab"}), (" word", set()), (",\n", {"newline"}),
    ],
)  # fmt: skip
def test_white_space(text, expected):
    assert labels_of(text, "whitespace") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" apple", {"space", "vowel", "lower", "space_lower"}),
        ("Bear", {"no_space", "consonant", "capital", "no_space_capital"}),
        ("yes", {"no_space", "consonant", "lower", "no_space_lower"}),
        (" École", {"space", "capital", "space_capital"}),
        (" 12", {"space", "digit"}),
        ("(a", {"no_space", "symbol"}),
        ("\n", set()),
        ("  ", set()),
    ],
)
def test_starts(text, expected):
    assert labels_of(text, "start") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", {"has_digit", "digits", "digits_1", "month", "day"}),
        (" 12", {"has_digit", "digits", "digits_2", "month", "day"}),
        ("31", {"has_digit", "digits", "digits_2", "day"}),
        ("32", {"has_digit", "digits", "digits_2"}),
        ("07", {"has_digit", "digits", "digits_2", "month", "day", "zero_padded"}),
        ("007", {"has_digit", "digits", "digits_3", "zero_padded"}),
        ("0", {"has_digit", "digits", "digits_1"}),
        ("00", {"has_digit", "digits", "digits_2", "zero_padded"}),
        (" 1490", {"has_digit", "digits", "digits_4"}),
        (" 1491", {"has_digit", "digits", "digits_4", "year"}),
        ("2199", {"has_digit", "digits", "digits_4", "year"}),
        ("2200", {"has_digit", "digits", "digits_4"}),
        ("0 1", {"has_digit"}),
        ("12345", {"has_digit", "digits", "digits_more"}),
        ("x86", {"has_digit"}),
        (" seven", {"word"}),
        ("seventh", {"ordinal"}),
        ("3rd", {"has_digit", "ordinal"}),
        (" XIV", {"roman"}),
        ("IX", set()),  # the end of a word in capitals, as often as not
        (" mix", set()),
        (" I", set()),
        ("²", set()),
        ("\n", set()),  # all() of nothing is true
        (" ", set()),
        ("someone", set()),
        ("ten", set()),  # of `often`
        (" ten", {"word"}),
    ],
)
def test_numbers(text, expected):
    assert labels_of(text, "number") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" my", {"first_person", "first_singular", "possessive_determiner"}),
        (" her", {"third_person", "third_singular", "feminine", "object", "possessive_determiner"}),
        ("It", {"third_person", "third_singular", "neuter", "subject", "object"}),
        (" themselves", {"third_person", "third_plural", "reflexive"}),
        (" you", {"second_person", "subject", "object"}),
        (" that", {"demonstrative", "relative"}),
        (" Nobody", {"indefinite"}),
        ("us", set()),  # of `status`
        ("US", set()),
        (" US", {"first_person", "first_plural", "object"}),  # cannot be told from the country
        (" item", set()),
        (" hero", set()),
        (" history", set()),
    ],
)
def test_pronouns_are_whole_words(text, expected):
    assert labels_of(text, "pronoun") == expected


def test_letters_are_whole_tokens_and_first_letters_are_not():
    texts = (" a", "A", "a", " an", "ba", "á", "'a", "1a")
    assert having("letter/a", *texts) == [" a", "A", "a"]
    assert having("first_letter/a", *texts) == [" a", "A", "a", " an"]
    assert having("letter/i", " I", "i", "ı", "İ", "İt") == [" I", "i"]
    assert having("first_letter/i", "İt", "ı", " it") == [" it"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" unkind", {"un"}), ("Unkind", {"un"}), (" underlying", {"under"}), (" interval", {"inter"}),
        ("unkind", set()),  # a piece, of `shunkind` for all one knows
        (" uniform", {"uni"}), (" unit", set()), (" un", set()), ("UNKIND", set()), (" un-do", set()),
        (" UNKIND", {"un"}), (" rest", set()), (" rewrite", {"re"}), (" disc", set()), (" 1st", set()),
    ],
)  # fmt: skip
def test_prefixes_begin_a_word_that_goes_on(text, expected):
    assert labels_of(text, "prefix") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" reading", {"ing"}), ("ing", {"ing"}), ("ting", set()), (" thing", set()), (" string", set()),
        (" king", set()), (" ing", set()), ("ING", set()), (" READING", {"ing"}),
        (" kindness", {"ness"}), (" cats", {"s"}), (" is", set()), (" quickly", {"ly"}),
        ("ization", {"ation"}),
        (" nation", {"tion"}), (" red", set()), (" used", {"ed"}), (" end", set()), (" don's", set()),
    ],
)  # fmt: skip
def test_a_suffix_needs_a_stem_or_is_a_piece(text, expected):
    assert labels_of(text, "suffix") == expected


def test_no_affix_is_listed_twice():
    assert len(PREFIXES) == len(set(PREFIXES)) >= 50
    assert len(SUFFIXES) == len(set(SUFFIXES)) >= 49


def test_units_are_no_parts_of_words():
    texts = (" mile", " miles", " smile", " football", " foot", "foot", "mm", " mm")
    assert having("word_group/length", *texts) == [" mile", " miles", " foot", "foot", " mm"]
    texts = (
        " time",
        " day",
        " Monday",
        " daylight",
        " hours",
        "hour",
        "day",
        " yearling",
        " second",
        "seconds",
    )
    assert having("word_group/time", *texts) == [" day", " hours", "hour", " second", "seconds"]


def test_names_of_the_calendar_need_their_capital():
    texts = (" May", " may", " MAY", " March", " march", " MARCH", " Mar", " mar", " Sat", " sat")
    texts += (" Sunday", " SUN", " Sun", "December", " Dec", " decent")
    assert having("word_group/month", *texts) == [" May", " March", " MARCH", "December"]
    assert having("word_group/month_short", *texts) == [" Mar", " Dec"]
    assert having("word_group/weekday", *texts) == [" Sunday"]
    assert having("word_group/weekday_short", *texts) == [" Sat", " Sun"]
    assert having("function_word/modal", *texts) == [" May", " may", " MAY"]


def test_halves_of_states_are_none():
    texts = (
        " Texas",
        " TEXAS",
        " texas",
        " New",
        " North",
        " Carolina",
        " York",
        " West",
        " Virginia",
        " Island",
    )
    assert having("word_group/us_state", *texts) == [" Texas", " TEXAS", " Virginia"]
    texts = (" TX", "TX", " tx", " IN", " OR", " ME", " NY", "AL", " AL")
    assert having("word_group/us_state_short", *texts) == [" TX", " NY", " AL"]


def test_parts_of_addresses_follow_without_space():
    texts = ("com", ".com", " com", ".org", " network", "net", "https", " http", "communist", " .com")
    assert having("word_group/web", *texts) == ["com", ".com", ".org", "net", "https", " http"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" without", {"preposition", "negation"}), (" But", {"coordinating", "contrastive"}),
        ("n't", {"negation", "contraction"}), ("'re", {"be", "contraction"}), (" an", {"article"}),
        ("an", set()), (" notice", set()),
        (" does", {"do"}), (" however", {"contrastive"}), ("rather", {"contrastive", "degree"}),
    ],
)  # fmt: skip
def test_function_words(text, expected):
    assert labels_of(text, "function_word") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" us", "us"), ("Us", "us"), ("US", ""), ("us", ""), ("I", "i"), ("self", "self"), ("SELF", "self"),
        ("'s", "'s"), ("1st", "1st"), ("\nto", "to"), ("  ", ""), ("aB", ""), ("Ab", "ab"), (" To ", "to"),
    ],
)  # fmt: skip
def test_when_a_token_is_a_word(text, expected):
    assert whole_word(text) == expected
