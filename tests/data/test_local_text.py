"""The text of the Python installation: there without a network, in one order, and held out by name."""

from itertools import islice

import pytest

from un_lightning.config import Part
from un_lightning.data import local_text
from un_lightning.data.documents import belongs
from un_lightning.data.local_text import LocalText


SUBSETS = {"stdlib", "docstrings", "readmes", "licences", "topics"}
MINIMUM = 50


@pytest.fixture(scope="module")
def documents():
    """The first documents of each part."""
    sources = {part: LocalText(part, MINIMUM) for part in (Part.train, Part.held_out)}
    return {part: list(islice(source, 60)) for part, source in sources.items()}


@pytest.mark.slow
@pytest.mark.parametrize("part", [Part.train, Part.held_out])
def test_every_subset_gives_text_from_the_start(documents, part):
    assert {document.subset for document in documents[part]} == SUBSETS
    for document in documents[part]:
        assert document.name.startswith(f"{document.subset}/")
        assert len(document.text) > MINIMUM
        document.text.encode()


@pytest.mark.slow
def test_the_order_is_always_the_same(documents):
    again = list(islice(LocalText(Part.train, MINIMUM), 30))
    assert again == documents[Part.train][:30]


@pytest.mark.slow
def test_documents_are_held_out_by_their_names(documents):
    for part, read in documents.items():
        assert all(belongs(document.name, part) for document in read)
    names = {part: {document.name for document in read} for part, read in documents.items()}
    assert names[Part.train].isdisjoint(names[Part.held_out])


@pytest.mark.slow
def test_no_text_comes_twice(documents):
    texts = [document.text for document in documents[Part.train]]
    assert len(set(texts)) == len(texts)


@pytest.fixture
def read(monkeypatch):
    """Read these entries in the place of the whole installation."""

    def put(**subsets):
        for name in SUBSETS:
            texts = subsets.get(name, {})
            openers = {
                f"{name}/{key}": text if callable(text) else lambda text=text: text
                for key, text in texts.items()
            }
            monkeypatch.setattr(local_text, f"_{name}", lambda openers=openers: openers)
        source = LocalText(Part.all, 3)
        return source, list(source)

    return put


def test_the_next_text_is_of_the_subset_that_gave_the_least(read):
    sizes = {"stdlib": [90, 30, 60], "topics": [10] * 9, "readmes": [50, 5]}
    texts = {s: {n: f"{s}{n}".ljust(size, "x") for n, size in enumerate(ns)} for s, ns in sizes.items()}
    documents = read(**texts)[1]
    assert len(documents) == 14
    given = dict.fromkeys(sizes, 0)
    for index, document in enumerate(documents):
        left = {later.subset for later in documents[index:]}
        assert given[document.subset] == min(given[subset] for subset in left)
        given[document.subset] += len(document.text)


def not_there():
    raise FileNotFoundError


def no_python():
    raise SyntaxError


def test_what_cannot_be_read_is_counted(read):
    texts = {"a": "a text", "b": not_there, "c": no_python, "d": "\ud800 half", "e": "abc", "f": "a text"}
    source, documents = read(stdlib=texts)
    assert [document.text for document in documents] == ["a text"]
    assert source.problems == {"unreadable": 3, "short": 1, "duplicate": 1}


def test_docstrings_of_a_module(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('"""The module."""\n\ndef f():\n    """What f does."""\n\nclass C:\n    pass\n')
    assert local_text._module_docstrings(path) == "The module.\n\nf\n\nWhat f does."


def test_the_fingerprint_names_the_versions():
    fingerprint = LocalText(Part.train, MINIMUM).fingerprint()
    assert fingerprint["part"] == "train"
    assert fingerprint["packages"]["torch"]
    assert fingerprint != LocalText(Part.held_out, MINIMUM).fingerprint()
