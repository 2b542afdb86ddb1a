"""Labels from counts and from lists of words."""

import pytest
import torch

from un_lightning.errors import UserError
from un_lightning.labels.topics import read_topics, topic_labels
from un_lightning.labels.unigrams import unigram_labels


TEXTS = ["the", " the", "The", " THE", " a", "A", "\ufffd", " \ufffd", "\n", " ", "", "then", " ,", ","]


def columns(labels):
    return {
        name: labels.matrix[:, column].nonzero().flatten().tolist()
        for column, name in enumerate(labels.names)
    }


def test_a_unigram_is_a_string_with_its_variants():
    assert columns(unigram_labels(TEXTS, None, 2, 0)) == {
        "unigram/,": [12, 13],
        "unigram/a": [4, 5],
        "unigram/the": [0, 1, 2, 3],
    }
    assert columns(unigram_labels(TEXTS, None, 3, 0)) == {"unigram/the": [0, 1, 2, 3]}
    assert columns(unigram_labels(TEXTS, None, 5, 0)) == {}


def test_broken_bytes_white_space_and_nothing_are_no_unigrams():
    names = unigram_labels(TEXTS, None, 1, 0).names
    assert names == ["unigram/,", "unigram/a", "unigram/the", "unigram/then"]


def test_occurrences_are_those_of_all_variants():
    counts = torch.zeros(len(TEXTS), dtype=torch.int64)
    counts[[0, 3, 4]] = torch.tensor([6, 4, 9])
    assert unigram_labels(TEXTS, counts, 2, 10).names == ["unigram/the"]
    assert unigram_labels(TEXTS, counts, 2, 9).names == ["unigram/a", "unigram/the"]
    assert unigram_labels(TEXTS, counts, 2, 11).names == []


def test_the_topics_of_the_package():
    topics = read_topics()
    assert 15 <= len(topics) <= 50
    for name, words in topics.items():
        assert len(words) == len(set(words)) >= 15, name
    assert {"true", "null", "none"} <= set(topics["code"])


def test_topics_are_whole_words_in_any_case():
    texts = [" cat", "cat", "cats", " CATS", " category", "Cat", "", " \ufffd"]
    labels = topic_labels(texts, {"pets": ["cat", "cats", "dog"], "none": ["xyz"]})
    assert columns(labels) == {"topic/pets": [0, 2, 3, 5], "topic/none": []}


def write(folder, text):
    path = folder / "topics.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_adds_topics_and_its_words_stay_words(tmp_path):
    topics = read_topics(write(tmp_path, "answers: [Yes, no, on, 1, null]\nmedicines: [aspirin]\n"))
    assert topics["answers"] == ["yes", "no", "on", "1", "null"]
    assert topics["medicines"] == ["aspirin"]
    assert topics["medicine"] == read_topics()["medicine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("medicine: [pill]", "topics that exist already: medicine"),
        ("a: [x]\na: [y]", "topics occur twice: a"),
        ("a: x", "topic 'a' must be a list of words"),
        ("a: []", "topic 'a' must be a list of words"),
        ("a: [[x]]", "topic 'a' must be a list of words"),
        ("a: [new york]", "topic 'a' holds 'new york', but a token is a single word"),
        ("a: ['']", "topic 'a' holds ''"),
        ("- x", "must map names of topics to lists of words"),
        ("", "must map names of topics to lists of words"),
        ("a: [x", "is no YAML of topics"),
        ("a: !!python/object/apply:os.getcwd []", "is no YAML of topics"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_topics(path)
    assert message in str(error.value)
    assert "topics.yaml" in str(error.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UserError, match=r"none.yaml cannot be read \(No such file"):
        read_topics(str(tmp_path / "none.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"bytes.yaml is no UTF-8 text"):
        read_topics(str(tmp_path / "bytes.yaml"))
