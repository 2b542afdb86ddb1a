"""What a run of a frozen model does and leaves undone."""

import pytest
import torch
from torch import nn

from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel


def count_hooks(module):
    return sum(len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules())


def fail(*_):
    raise AssertionError("must not run")


def ignore(*_):
    pass


@pytest.fixture
def frozen(build_model):
    return FrozenModel("a", build_model("gpt2"))


def test_only_the_trunk_runs(frozen, tokens):
    frozen.module.lm_head.register_forward_pre_hook(fail)
    frozen.capture(tokens, Site.mlp_post)
    with pytest.raises(AssertionError):
        frozen.module(tokens)


def test_sinks_are_called_once_a_layer_in_one_forward(frozen, tokens):
    forwards = []
    frozen.module.base_model.register_forward_hook(lambda *_: forwards.append(1))
    frozen.units(Site.resid_post)
    forwards.clear()
    calls = []
    sites = (Site.mlp_post, Site.resid_post)
    frozen.run(
        tokens,
        {site: lambda layer, seen, site=site: calls.append((site, layer, seen.shape)) for site in sites},
    )
    assert len(forwards) == 1
    expected = [(site, layer) for layer in range(3) for site in sites]
    assert [(site, layer) for site, layer, _ in calls] == expected
    assert all(shape == (2, 7, frozen.units(site).widths[layer]) for site, layer, shape in calls)


def test_a_forward_ends_at_the_last_activation(frozen, tokens):
    """From the second one on: the first shows that no module runs again after its layer was read."""
    first = frozen.capture(tokens, Site.mlp_post)
    hooks = count_hooks(frozen.module)
    last = frozen.module.base_model.h[-1].mlp.c_proj.register_forward_hook(fail)
    for before, after in zip(first, frozen.capture(tokens, Site.mlp_post), strict=True):
        assert torch.equal(before, after)
    with pytest.raises(AssertionError):  # another site has not been seen yet, and its forward is whole
        frozen.capture(tokens, Site.mlp_pre)
    last.remove()
    assert count_hooks(frozen.module) == hooks


def test_the_cache_is_off(frozen, tokens):
    outputs = []
    frozen.module.base_model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    frozen.run(tokens, {})
    assert outputs[0].past_key_values is None


@pytest.mark.parametrize("site", [Site.mlp_post, Site.mlp_pre])
def test_hooks_go_after_success_and_after_an_exception(frozen, tokens, site):
    def explode(layer, activation):
        if layer == 1:
            raise RuntimeError("sink")

    before = count_hooks(frozen)
    frozen.run(tokens, {site: ignore})
    assert count_hooks(frozen) == before
    with pytest.raises(RuntimeError, match="sink"):
        frozen.run(tokens, {Site.resid_post: ignore, site: explode})
    assert count_hooks(frozen) == before


def test_hooks_go_when_a_later_site_is_missing(frozen, tokens):
    with pytest.raises(UserError):
        frozen.run(tokens, {Site.mlp_post: ignore, Site.units: ignore})
    assert count_hooks(frozen) == 0


def test_captures_survive_writes_in_place(tokens):
    class Overwriting(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(320, 4)

        def forward(self, tokens):
            return self.embed(tokens).zero_()

    frozen = FrozenModel("a", Overwriting(), "embed")
    (kept,) = frozen.capture(tokens, Site.units)
    assert (kept == frozen.module.embed(tokens)).all()


def test_it_stays_frozen(frozen, tokens):
    owner = nn.ModuleDict({"a": frozen})
    owner.train()
    assert not any(module.training for module in frozen.modules())
    assert not any(weight.requires_grad for weight in owner.parameters())
    assert not frozen.capture(tokens, Site.mlp_post)[0].requires_grad


def test_it_moves_with_its_owner(frozen, tokens):
    single = frozen.capture(tokens, Site.mlp_post)
    double = nn.ModuleDict({"a": frozen}).to(torch.float64)["a"].capture(tokens, Site.mlp_post)
    assert double[0].dtype == torch.float64
    torch.testing.assert_close(double[0].float(), single[0], rtol=1e-4, atol=1e-5)


def test_vocabulary_and_context(build_model):
    assert FrozenModel("a", build_model("gpt2")).vocabulary == 320
    assert FrozenModel("a", build_model("gpt2")).context == 40
    assert FrozenModel("a", build_model("llama")).context == 40
    assert FrozenModel("a", build_model("bloom")).context is None  # no limit: positions are distances
    assert FrozenModel("a", nn.Embedding(3, 4)).vocabulary is None
    assert FrozenModel("a", nn.Embedding(3, 4)).context is None


class Pooling(nn.Module):
    """Outputs of many kinds."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(320, 6)
        self.heads = nn.Unflatten(2, (2, 3))
        self.pool = nn.AdaptiveAvgPool2d((1, 6))
        self.record = nn.Module()
        self.record.forward = lambda stream: {"stream": stream}
        self.pair = nn.Module()
        self.pair.forward = lambda stream: (stream + 1, None)
        self.twice = nn.Identity()
        self.unused = nn.Linear(6, 6)

    def forward(self, tokens):
        stream = self.embed(tokens)
        self.heads(stream)
        self.pool(stream)
        self.record(stream)
        self.pair(stream=stream)
        return self.twice(self.twice(stream))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("heads", r"output of module 'heads' of model 'p' is \[2, 7, 2, 3\] for tokens \[2, 7\]"),
        ("pool", r"output of module 'pool' of model 'p' is \[2, 1, 6\]"),
        ("record", "output of module 'record' of model 'p' is dict"),
        ("twice", "module 'twice' of model 'p' runs more than once"),
        ("unused", "module 'unused' of model 'p' does not run"),
    ],
)
def test_outputs_that_are_no_units(tokens, path, message):
    frozen = FrozenModel("p", Pooling(), path)
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            frozen.capture(tokens, Site.units)
    assert count_hooks(frozen) == 0


def test_the_first_of_a_tuple_is_the_output(tokens):
    frozen = FrozenModel("p", Pooling(), "pair")
    (kept,) = frozen.capture(tokens, Site.units)
    assert (kept == frozen.module.embed(tokens) + 1).all()
