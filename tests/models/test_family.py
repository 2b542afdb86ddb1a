"""Members of a family, their tokenizers and their pairs."""

import shutil

import pytest

from un_lightning.config import MemberConfig, ModelsConfig, ModelSource, Pairs
from un_lightning.errors import UserError
from un_lightning.models import family as family_module
from un_lightning.models.family import load_family
from un_lightning.models.tokenizers import tokenizer_fingerprint


PROSE = "the quick brown fox jumps over the lazy dog " * 9
CODE = "def run(self): return [x for x in range(10)] " * 9


@pytest.fixture
def write_member(build_model, train_tokenizer, tmp_path):
    """Write a checkpoint, with a tokenizer trained on a text."""

    def write(name, text=None, **changes):
        folder = tmp_path / name
        build_model("gpt2", seed=ord(name[0]), **changes).save_pretrained(folder)
        if text:
            train_tokenizer(text).save_pretrained(folder)
        return str(folder)

    return write


@pytest.fixture
def no_loading(monkeypatch):
    """Fail when a model is loaded."""

    def fail(*_):
        raise AssertionError("loads weights")

    monkeypatch.setattr(family_module, "load_member", fail)


def random_family(architectures, *names, **settings):
    members = [MemberConfig(name=name, seed=seed) for seed, name in enumerate(names)]
    settings = {"reference": names[0], "architecture": architectures["gpt2"], **settings}
    return ModelsConfig(family="r", source=ModelSource.random, members=members, **settings)


def test_members_keep_their_order_and_share_a_tokenizer(write_member, family_config, train_tokenizer):
    members = {name: write_member(name, PROSE) for name in "bca"}
    family = load_family(family_config("local", members, reference="c"))
    assert list(family.models) == ["b", "c", "a"]
    assert [model.name for model in family.models.values()] == ["b", "c", "a"]
    assert (family.name, family.reference, family.context) == ("tiny", "c", 40)
    assert tokenizer_fingerprint(family.tokenizer) == tokenizer_fingerprint(train_tokenizer(PROSE))


def test_pairs(architectures):
    family = load_family(random_family(architectures, "a", "b", "c", reference="b"))
    assert family.pairs(Pairs.star) == [("b", "a"), ("b", "c")]
    assert family.pairs(Pairs.all) == [("b", "a"), ("b", "c"), ("a", "c")]


def test_a_single_member_has_no_pairs(architectures):
    family = load_family(random_family(architectures, "a"))
    assert family.pairs(Pairs.star) == family.pairs(Pairs.all) == []


def test_the_context_is_the_shortest(write_member, family_config):
    members = {"a": write_member("a"), "b": write_member("b", n_positions=24)}
    assert load_family(family_config("local", members)).context == 24


def test_different_tokenizers_are_refused_before_any_model_loads(no_loading, write_member, family_config):
    members = {"first": write_member("first", PROSE), "second": write_member("second", CODE)}
    with pytest.raises(UserError, match="model 'first' and model 'second' have different tokenizers"):
        load_family(family_config("local", members))


def test_different_vocabularies_are_refused(write_member, family_config):
    members = {"first": write_member("first"), "second": write_member("second", vocab_size=330)}
    with pytest.raises(UserError, match="'first' and 'second' have vocabularies of 320 and 330"):
        load_family(family_config("local", members))


def test_a_tokenizer_larger_than_the_embedding_is_refused(write_member, family_config):
    members = {"small": write_member("small", PROSE, vocab_size=260)}
    with pytest.raises(
        UserError, match="the tokenizer has token 28., but the embedding of model 'small' ends at 259"
    ):
        load_family(family_config("local", members))


def test_members_without_tokenizer_have_none(write_member, family_config):
    assert load_family(family_config("local", {"a": write_member("a")})).tokenizer is None


def test_a_member_without_tokenizer_takes_the_others(write_member, family_config):
    members = {"a": write_member("a"), "b": write_member("b", PROSE)}
    assert load_family(family_config("local", members)).tokenizer is not None


def test_a_named_tokenizer_stands_for_all(write_member, family_config, train_tokenizer, tmp_path):
    train_tokenizer(CODE).save_pretrained(tmp_path / "tokenizer")
    members = {"a": write_member("a", PROSE), "b": write_member("b")}
    models = family_config("local", members, tokenizer=str(tmp_path / "tokenizer"))
    expected = tokenizer_fingerprint(train_tokenizer(CODE))
    assert tokenizer_fingerprint(load_family(models).tokenizer) == expected


def test_the_tokenizer_of_the_data_serves_random_models(architectures, train_tokenizer, tmp_path):
    train_tokenizer(PROSE).save_pretrained(tmp_path)
    models = random_family(architectures, "a", "b")
    assert load_family(models).tokenizer is None
    family = load_family(models, str(tmp_path))
    assert tokenizer_fingerprint(family.tokenizer) == tokenizer_fingerprint(train_tokenizer(PROSE))


def test_data_and_models_must_name_the_same_tokenizer(
    no_loading, write_member, family_config, train_tokenizer, tmp_path
):
    member = write_member("a")
    train_tokenizer(PROSE).save_pretrained(tmp_path / "one")
    train_tokenizer(CODE).save_pretrained(tmp_path / "two")
    models = family_config("local", {"a": member}, tokenizer=str(tmp_path / "one"))
    with pytest.raises(UserError, match="models.tokenizer='.*one' and data.tokenizer='.*two' have different"):
        load_family(models, str(tmp_path / "two"))


def test_bundled_members_share_one_tokenizer_folder(
    write_member, family_config, train_tokenizer, monkeypatch, tmp_path
):
    import un_lightning

    families = tmp_path / "package" / "families" / "un-tiny"
    for name in "ab":
        shutil.move(write_member(name), families / name)
    train_tokenizer(PROSE).save_pretrained(families / "tokenizer")
    monkeypatch.setattr(un_lightning, "__file__", str(tmp_path / "package" / "__init__.py"))
    members = {name: f"bundled:un-tiny/{name}" for name in "ab"}
    family = load_family(family_config("local", members, tokenizer="bundled:un-tiny/tokenizer"))
    assert list(family.models) == ["a", "b"]
    assert family.tokenizer is not None


def test_only_the_members_that_are_needed_are_loaded(architectures):
    family = load_family(random_family(architectures, "a", "b", "c"), needed=["b"])
    assert list(family.models) == ["b"]
    assert family.reference == "a"
    with pytest.raises(UserError, match=r"analysis.model is 'z', but family .* has a, b, c"):
        load_family(random_family(architectures, "a", "b", "c"), needed=["z"])
