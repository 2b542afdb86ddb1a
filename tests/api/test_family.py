"""Models in one's own hands: what is captured, edited and refused."""

import pytest
import torch

import un_lightning as ul
from un_lightning.config import Site
from un_lightning.models.paths import resolve_path


TEXT = "The cat sat on the mat.\n<|endoftext|>"


def by_hand(model, tokens, edit=None):
    """Neurons of a GPT-2 and its logits, with plain hooks."""
    seen = []

    def change(layer):
        def hook(module, args, out):
            seen.append(edit(layer, out.clone()) if edit else out.clone())
            return seen[-1]

        return hook

    handles = [
        block.mlp.act.register_forward_hook(change(layer))
        for layer, block in enumerate(model.module.transformer.h)
    ]
    with torch.no_grad():
        logits = model.module(tokens).logits
    for handle in handles:
        handle.remove()
    return seen, logits


def test_text_becomes_tokens(family):
    tokens = family.tokens(TEXT)
    assert tokens.shape[0] == 1
    assert tokens[0, 0] == family.tokenizer.eos_token_id
    assert family.tokenizer.decode(tokens[0, 1:]) == TEXT
    assert (tokens[0, 1:] != family.tokenizer.eos_token_id).all()


def test_blocks_are_those_of_a_run(family):
    texts = ["one two three " * 20, "four five " * 30]
    blocks = family.blocks(texts, context=16)
    ids = [family.tokens(text)[0, 1:] for text in texts]
    end = torch.tensor([family.tokenizer.eos_token_id])
    line = torch.cat([ids[0], end, ids[1], end])
    assert blocks.shape[0] == len(line) // 15
    assert (blocks[:, 0] == end).all()
    torch.testing.assert_close(blocks[:, 1:].flatten(), line[: 15 * len(blocks)])


def test_capture_and_logits(family):
    found, logits = family.capture(TEXT), family.logits(TEXT, models=["b"])
    assert [*found] == ["a", "b", "c"]
    assert [*logits] == ["b"]
    neurons, expected = by_hand(family.models["b"], family.tokens(TEXT))
    torch.testing.assert_close(found["b"], neurons)
    torch.testing.assert_close(logits["b"], expected)
    residual = family.capture(family.tokens(TEXT)[0], "resid_post")["a"]
    assert [tuple(one.shape) for one in residual] == [(1, family.tokens(TEXT).shape[1], 16)] * 2


def test_edits_change_one_model_for_one_call(family):
    def edit(layer, value):
        if layer == 0:
            value[..., [3, 5]] = torch.tensor([2.0, -1.0])
        return value

    change = ul.Edit(0, "fix", [3, 5], value=torch.tensor([2.0, -1.0]))
    neurons, expected = by_hand(family.models["a"], family.tokens(TEXT), edit)
    before = family.logits(TEXT)
    torch.testing.assert_close(family.logits(TEXT, {"a": [change]})["a"], expected)
    torch.testing.assert_close(family.capture(TEXT, edits={"a": [change]})["a"], neurons)
    after = family.logits(TEXT, {"a": [change]})
    assert not torch.allclose(after["a"], before["a"])
    assert torch.equal(after["b"], before["b"])
    assert torch.equal(family.logits(TEXT)["a"], before["a"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.capture("x", "mlp"), "there is no site 'mlp', allowed are mlp_pre"),
        (lambda f: f.capture(""), "the text is empty"),
        (lambda f: f.capture("x", models=["z"]), "there is no model 'z', family random-tiny has a, b, c"),
        (lambda f: f.capture("word " * 300), "longer than the models' context of 128"),
        (
            lambda f: f.capture(torch.tensor([[4096]])),
            "reach from 4096 to 4096, but the models know 0 to 4095",
        ),
        (lambda f: f.capture(torch.tensor([-1])), "reach from -1"),
        (lambda f: f.logits("x", {"z": []}), "there is no model 'z'"),
        (
            lambda f: f.logits("x", {"a": [ul.Edit(9, "zero", [0])]}),
            "of layer 9, but model 'a' has layers 0 to 1",
        ),
        (
            lambda f: f.logits("x", {"a": [ul.Edit(0, "zero", [64])]}),
            r"units \[64\], but .* has units 0 to 63",
        ),
        (lambda f: f.logits("x", {"a": [ul.Edit(0, "zero", direction=torch.ones(3))]}), "direction is of 3"),
        (lambda f: f.blocks(["x"]), "shorter than one block of 128 tokens"),
        (lambda f: f.blocks(["x"], context=1), "context is 1"),
        (
            lambda f: ul.correlate(f, ["word " * 200], pears="all"),
            r"unknown key 'analysis.pears' \(did you mean pairs",
        ),
        (lambda f: ul.correlate(f, ["word " * 200], batch_size=0), "data.batch_size is 0"),
        (lambda f: ul.correlate(f, ["x"]), "shorter than one block"),
        (lambda _: ul.load_family("un_tinny"), r"there is no models 'un_tinny' \(did you mean un_tiny"),
        (lambda _: ul.load_family("random_tiny", members=["z"]), "there is no model 'z'"),
        (
            lambda _: ul.load_family("random_tiny", refrence="b"),
            r"unknown key 'models.refrence' \(did you mean",
        ),
        (lambda _: ul.load_family({"a": "./nowhere"}), "model 'a': there is no folder './nowhere'|nowhere"),
        (lambda _: ul.load_family({"a": "bundled:un_tiny/a"}, refrence="b"), "unknown key 'refrence'"),
        (lambda _: ul.load_family({"a": "bundled:un_tiny/a"}, reference="b"), "models.reference is 'b'"),
        (lambda _: ul.load_family({}), "name at least one model"),
    ],
)
def test_what_is_refused(family, call, message):
    with pytest.raises(ul.UserError, match=message):
        call(family)


def test_a_family_of_folders_and_of_some_members():
    folder = resolve_path("bundled:un_tiny/b")
    tokenizer = "bundled:un_tiny/tokenizer"
    found = ul.load_family({"x": folder, "y": "bundled:un_tiny/a"}, tokenizer=tokenizer, reference="y")
    assert ([*found.models], found.reference) == (["x", "y"], "y")
    named = ul.load_family("un_tiny", members=["b"])
    assert ([*named.models], named.reference) == (["b"], "b")
    torch.testing.assert_close(found.capture("Hello")["x"], named.capture("Hello", Site.mlp_post)["b"])
