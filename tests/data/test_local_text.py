"""The text of the Python installation: there without a network, in one order, and held out by name."""

from itertools import islice

import pytest

from un_lightning.config import DataConfig, DataSource, Part
from un_lightning.data import local_places, local_text
from un_lightning.data.documents import belongs
from un_lightning.data.local_text import LocalText
from un_lightning.errors import UserError


SUBSETS = {"stdlib", "docstrings", "readmes", "licences", "topics"}
MINIMUM = 50


def local(part=Part.all, minimum=MINIMUM, **changes):
    return LocalText(DataConfig(source=DataSource.local, part=part, min_characters=minimum, **changes))


@pytest.fixture(scope="module")
def documents():
    """The first documents of each part."""
    sources = {part: local(part) for part in (Part.train, Part.held_out)}
    return {part: list(islice(source, 300)) for part, source in sources.items()}


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
    again = list(islice(local(Part.train), 30))
    assert again == documents[Part.train][:30]


@pytest.mark.slow
def test_documents_are_held_out_by_their_names(documents):
    for part, read in documents.items():
        assert all(belongs(document.name.split("#")[0], part) for document in read)  # the file decides
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
                f"{name}/{key}": text if callable(text) else lambda text=text: [text]
                for key, text in texts.items()
            }
            monkeypatch.setitem(local_text.PLACES, name, lambda openers=openers: openers)
        source = local(minimum=3)
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


def not_text():
    raise ValueError


def test_what_cannot_be_read_is_counted(read):
    texts = {"a": "a text", "b": not_there, "c": not_text, "d": "\ud800 half", "e": "abc", "f": "a text"}
    source, documents = read(stdlib=texts)
    assert [document.text for document in documents] == ["a text"]
    assert source.problems == {"unreadable": 3, "short": 1, "duplicate": 1}


def test_no_document_is_longer_than_the_longest(read):
    paragraphs = "\n\n".join(f"paragraph {n} " + "word " * 500 + "end" for n in range(100))
    documents = read(licences={"a": paragraphs, "b": "x" * 250_000})[1]
    parts = [document for document in documents if document.name.startswith("licences/a#")]
    assert len(parts) == 3
    assert all(part.text.startswith("paragraph") for part in parts)
    assert "\n\n".join(part.text for part in parts) == paragraphs.strip()
    assert max(len(document.text) for document in documents) <= local_text.LONGEST


MODULE = '''"""The module."""

def f(a: tuple[int, ...] = (1, (2)),
      b=":") -> str:  # as always
    """What f does.

    More of it, "quoted".
    """
    x = """no docstring"""

class C:
    async def g(self):
        r"""What g does."""
    def h(self): return 1
'''


def test_docstrings_of_a_module(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    assert list(local_places.docstrings(path)) == [
        "The module.",
        'f\n\nWhat f does.\n\nMore of it, "quoted".',
        "g\n\nWhat g does.",
    ]


def test_chapters():
    text = "Title\n=====\n\nOne.\n\n## Second\nTwo.\n### within\n\nThird\n-----\nx | y\n"
    assert [chapter.split("\n")[0] for chapter in local_places.chapters(text) if chapter] == [
        "Title", "## Second", "Third",
    ]  # fmt: skip


def test_the_fingerprint_names_the_versions():
    fingerprint = local(Part.train).fingerprint()
    assert fingerprint["part"] == "train"
    assert fingerprint["packages"]["torch"]
    assert fingerprint != local(Part.held_out).fingerprint()


def test_a_subset_that_is_not_there():
    with pytest.raises(UserError, match="no document is of stdlab; there are stdlib, docstrings"):
        next(iter(local(subset=["stdlab"])))
    assert {document.subset for document in islice(local(subset=["topics"]), 5)} == {"topics"}
