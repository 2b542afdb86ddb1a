"""Replaying upper blocks gives what running the whole model again gives, with and without short cuts."""

import pytest
import torch

from un_lightning.config import Site
from un_lightning.config.edits import EditKind
from un_lightning.errors import UserError
from un_lightning.models.edits import Edit
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.head import read_head
from un_lightning.models.replay import Replay


@pytest.fixture
def replay(build_model):
    def build(kind, places, dtype=torch.float64):
        model = FrozenModel("a", build_model(kind).to(dtype))
        return model, Replay(model, read_head(model).norm, places)

    return build


def groups_at(layers, site=Site.mlp_post):
    """Single edits, two layers at once, and a group that starts above the lowest layer."""
    unit = lambda *index: torch.tensor(index)
    found = [[Edit(layer, EditKind.fix, unit(3), value=2.0, site=site)] for layer in layers]
    found.append([Edit(layer, EditKind.zero, unit(0, 5), site=site) for layer in layers])
    found.append([Edit(layers[-1], EditKind.scale, unit(2), value=3.0, site=site)])
    return found


@pytest.mark.parametrize(
    "kind", ["gpt2", "neox_parallel", "neox_sequential", "llama", "gemma2", "phi3", "opt", "bloom"]
)
@pytest.mark.parametrize("site", [Site.mlp_post, Site.attn_z])
def test_replay_gives_what_a_full_run_gives(replay, tokens, kind, site):
    """To 1e-9 in float64: other batch sizes take other kernels. RMS norms compute in float32 all the same."""
    tolerance = 1e-5 if kind in ("llama", "gemma2", "phi3") else 1e-9
    layers = [0, 1, 2]
    _, own = replay(kind, [(site, layer) for layer in layers])
    where = torch.ones_like(tokens, dtype=torch.bool)
    where[:, 0] = False
    recording = own.record(tokens)
    for groups in (groups_at(layers), groups_at(layers[1:]), groups_at(layers[2:])):
        found = own.residuals(recording, groups, where)
        expected = own._rerun(tokens, groups, where).view_as(found)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
        assert not torch.allclose(found[0], recording.residual)


@pytest.mark.parametrize(
    ("kind", "linear"), [("gpt2", True), ("llama", True), ("neox_parallel", True), ("gemma2", False)]
)
def test_the_short_cut_is_taken_only_where_it_holds(replay, tokens, kind, linear):
    """Gemma 2 normalises what its MLP writes."""
    _, own = replay(kind, [(Site.mlp_post, 1)])
    own.record(tokens)
    assert bool(own.linear) is linear
    assert own._in_sequence


def test_attention_is_no_short_cut_where_the_mlp_reads_it(replay, tokens):
    for kind, linear in (("gpt2", False), ("neox_parallel", True)):
        _, own = replay(kind, [(Site.attn_z, 1)])
        own.record(tokens)
        assert bool(own.linear) is linear, kind


def test_blocks_below_the_edit_do_not_run_again(replay, tokens):
    model, own = replay("gpt2", [(Site.mlp_post, 1)])
    recording = own.record(tokens)
    ran = []
    for index, block in enumerate(model.module.transformer.h):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    where = torch.ones_like(tokens, dtype=torch.bool)
    own.residuals(recording, [[Edit(1, EditKind.fix, torch.tensor([3]), value=2.0)]] * 4, where)
    assert ran == [2]


def test_two_edits_at_one_place_happen_one_after_the_other(replay, tokens):
    _, own = replay("gpt2", [(Site.mlp_post, 1)])
    unit = torch.tensor([3])
    group = [Edit(1, EditKind.fix, unit, value=2.0), Edit(1, EditKind.scale, unit, value=5.0)]
    where = torch.ones_like(tokens, dtype=torch.bool)
    recording = own.record(tokens)
    found = own.residuals(recording, [group, [Edit(1, EditKind.fix, unit, value=10.0)]], where)
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


def test_a_model_whose_blocks_are_no_chain_runs_as_a_whole(replay, tokens):
    model, own = replay("gpt2", [(Site.mlp_post, 0)])
    block = model.module.transformer.h[2]
    block.register_forward_pre_hook(lambda _module, args: (args[0] * 1.5, *args[1:]))
    groups = groups_at([0])
    where = torch.ones_like(tokens, dtype=torch.bool)
    recording = own.record(tokens)
    assert not own._in_sequence
    expected = own._rerun(tokens, groups, where).view(len(groups), *tokens.shape, -1)
    torch.testing.assert_close(own.residuals(recording, groups, where), expected)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "neox_parallel", "opt", "phi3"])
def test_the_head_gives_the_logits_of_the_model(build_model, tokens, kind):
    module = build_model(kind).double()
    model = FrozenModel("a", module)
    head = read_head(model)
    seen = []
    head.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        expected = module(tokens).logits.flatten(0, 1)
    x = head.centre(seen[0].flatten(0, 1))
    tolerance = 1e-9 if head.centred else 1e-5  # RMS norms compute in float32 all the same
    found = head.logits(x / head.scale(x)[:, None])
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert head.centred == (kind in ("gpt2", "neox_parallel", "opt"))


def test_logits_that_something_else_changes_are_refused(build_model):
    module = build_model("gpt2")
    module.lm_head.register_forward_hook(lambda _module, _args, output: output.sin())
    with pytest.raises(UserError, match="are not what its final norm and its unembedding give"):
        read_head(FrozenModel("a", module))
