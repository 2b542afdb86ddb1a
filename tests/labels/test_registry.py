"""Names are unique, users add labels with one function, and mistakes are named."""

import sys

import pytest

from un_lightning.errors import UserError
from un_lightning.labels import known_labels, vocabulary_labels
from un_lightning.labels.registry import REGISTRY, LabelFamily, Registry


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of labels; what it registers is forgotten after the test."""
    written = []

    def write(name, source):
        path = tmp_path / "modules" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("from un_lightning.labels import label, label_family\n" + source)
        monkeypatch.syspath_prepend(str(path.parent))
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)
        REGISTRY.forget(name)


RHYME = """
@label("ends_with/at", kind="rhyme")
def rhymes(text):
    return text.strip().endswith("at")

@label_family("vowels", ["none", "some"])
def vowels(text):
    return ["some" if set(text) & set("aeiou") else "none"]
"""


def test_one_decorated_function_adds_a_label(module):
    name = module("my_rhymes", RHYME)
    labels = vocabulary_labels([" cat", "at", " dog", "tsk"], modules=[name])
    own = labels.of_kinds(["rhyme", "vowels"])
    assert own.names == ["ends_with/at", "vowels/none", "vowels/some"]
    assert own.kinds == ["rhyme", "vowels", "vowels"]
    assert own.matrix.tolist() == [
        [True, False, True],
        [True, False, True],
        [False, False, True],
        [False, True, False],
    ]


def test_what_exists_is_listed_by_kind(module):
    assert "letter/z" in known_labels()["letter"]
    assert "rhyme" not in known_labels()
    assert known_labels([module("my_rhymes", RHYME)])["rhyme"] == ["ends_with/at"]


def test_labels_of_modules_that_are_not_named_stay_out(module):
    vocabulary_labels([" cat"], modules=[module("my_rhymes", RHYME)])
    assert "ends_with/at" not in vocabulary_labels([" cat"]).names


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            'label("letter/a")(str.isalpha)',
            "names a label 'letter/a', but un_lightning.labels.letters has it",
        ),
        (
            '@label("my/x")\ndef f(t): return 1\n@label("my/x")\ndef g(t): return 0',
            "'my/x', but my_labels has it",
        ),
        ('@label_family("my", ["x", "y", "x"])\ndef f(t): return []', "labels of kind my twice: x"),
        ('@label("noname")\ndef f(t): return 1', "name it namespace/rest"),
        ('@label("my/")\ndef f(t): return 1', "name it namespace/rest"),
        ('@label("unigram/the")\ndef f(t): return 1', "labels of kind 'unigram', which are made from data"),
        ('@label("unigram/the", kind="my")\ndef f(t): return 1', "'unigram' is made from data"),
        ('@label("my/x", kind="pos")\ndef f(t): return 1', "labels of kind 'pos', which are made from data"),
        ("import no_such_module", "my_labels cannot be imported (ModuleNotFoundError"),
        ("1 / 0", "my_labels cannot be imported (ZeroDivisionError"),
    ],
)
def test_what_cannot_be_registered_is_refused_whole(module, source, message):
    source = source.replace("(str.isalpha)", "(lambda text: True)")
    name = module("my_labels", '@label("first/one")\ndef one(text): return True\n' + source)
    with pytest.raises(UserError) as error:
        known_labels([name])
    assert message in str(error.value)
    # Nothing of it stays, so a mended module can be imported.
    sys.modules.pop(name, None)
    module(name, '@label("first/one")\ndef one(text): return True\n')
    assert known_labels([name])["first"] == ["first/one"]


def test_a_module_that_is_not_found():
    with pytest.raises(UserError, match="no_labels_here cannot be imported .* must lie on the Python path"):
        known_labels(["no_labels_here"])


def test_a_label_that_fails_names_itself_and_the_token(module):
    name = module("my_labels", '@label("my/first")\ndef f(text): return text[9] == "x"')
    with pytest.raises(UserError, match=r"label my/first of my_labels fails on the token ' cat': IndexError"):
        vocabulary_labels([" cat"], modules=[name])


def test_a_family_that_returns_what_it_did_not_announce(module):
    name = module("my_labels", '@label_family("my", ["x"])\ndef f(text): return ["y"]')
    with pytest.raises(UserError, match="label my/x of my_labels returns 'y', which it did not announce"):
        vocabulary_labels([" cat"], modules=[name])


def test_modules_are_told_apart_by_whole_names():
    registry = Registry()
    for module in ("mine", "mine.part", "mine_too"):
        registry.add(LabelFamily("k", {module: f"k/{module}"}, str.split, module))
    assert [family.module for family in registry.of_modules(["mine"])] == ["mine", "mine.part"]
