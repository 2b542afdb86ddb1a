"""What each kind of edit makes of an activation, at any site, and that nothing else changes."""

import pytest
import torch

from un_lightning.config import Site
from un_lightning.config.edits import EditKind
from un_lightning.errors import UserError
from un_lightning.models.edits import Edit, edited, edited_values
from un_lightning.models.frozen import FrozenModel


A = torch.tensor([-2.0, -0.5, 0.0, 1.5, 4.0])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("fix", 3.0, [3.0, 3.0, 3.0, 3.0, 3.0]),
        ("zero", 9.0, [0.0, 0.0, 0.0, 0.0, 0.0]),
        ("mean", 0.25, [0.25, 0.25, 0.25, 0.25, 0.25]),
        ("scale", -2.0, [4.0, 1.0, 0.0, -3.0, -8.0]),
        ("threshold", 1.0, [-2.0, -0.5, 0.0, 1.0, 1.0]),
        ("relu", 9.0, [0.0, 0.0, 0.0, 1.5, 4.0]),
        ("add", 0.5, [-1.5, 0.0, 0.5, 2.0, 4.5]),
    ],
)
def test_kinds(kind, value, expected):
    assert edited_values(EditKind(kind), A, value).tolist() == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "zero"}, "either units or a direction"),
        ({"kind": "zero", "units": [1], "direction": torch.ones(3)}, "either units or a direction"),
        ({"kind": "zro", "units": [1]}, "the kind of an edit is 'zro', but allowed are fix, zero"),
        (
            {"kind": "zero", "units": [1], "site": "mlp"},
            "the site of an edit is .mlp., but allowed are",
        ),
        ({"kind": "zero", "units": [1, 2, 1]}, "hold an index twice"),
    ],
)
def test_what_is_no_edit(settings, message):
    with pytest.raises(UserError, match=message):
        Edit(0, **settings)


def test_an_edit_by_names_and_lists():
    edit = Edit(0, "zero", [3, 1], site="mlp_pre")
    assert (edit.kind, edit.site, edit.units.tolist()) == (EditKind.zero, Site.mlp_pre, [3, 1])


@pytest.mark.parametrize("site", [Site.mlp_post, Site.mlp_pre, Site.mlp_out, Site.attn_z, Site.resid_post])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "neox_parallel"])
def test_every_site_of_every_architecture(build_model, tokens, kind, site):
    """Units 1 and 3 become the value where they are edited; lower layers and other positions before stay."""
    model = FrozenModel("a", build_model(kind))
    before = model.capture(tokens, site)
    where = torch.ones_like(tokens, dtype=torch.bool)
    where[:, :2] = False
    edit = Edit(1, EditKind.fix, torch.tensor([1, 3]), value=torch.tensor([5.0, -5.0]), site=site)
    after: dict[int, torch.Tensor] = {}
    with edited(model, [[edit]], where):
        # Hooks run in the order in which they were attached, so this one sees the edited activation.
        model.run(tokens, {site: lambda layer, seen: after.update({layer: seen.clone()})})
    expected = before[1].clone()
    expected[:, 2:, [1, 3]] = torch.tensor([5.0, -5.0])
    torch.testing.assert_close(after[1], expected)
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[2][:, :2], before[2][:, :2])  # causal
    assert not torch.allclose(after[2][:, 2:], before[2][:, 2:])
    assert all(torch.equal(a, b) for a, b in zip(model.capture(tokens, site), before, strict=True))


def test_a_direction_leaves_what_is_orthogonal_to_it(build_model, tokens):
    model = FrozenModel("a", build_model("gpt2"))
    before = model.capture(tokens, Site.resid_post)[1]
    direction = torch.randn(before.shape[2], generator=torch.Generator().manual_seed(0))
    unit = direction / direction.norm()
    where = torch.ones_like(tokens, dtype=torch.bool)
    edit = Edit(1, EditKind.fix, direction=3 * direction, value=2.0, site=Site.resid_post)
    changed = before.clone()
    edit.apply(changed, where)
    torch.testing.assert_close(changed @ unit, torch.full(tokens.shape, 2.0))
    rest = lambda x: x - (x @ unit)[..., None] * unit
    torch.testing.assert_close(rest(changed), rest(before), atol=1e-5, rtol=1e-5)


def test_groups_see_their_own_repetition_alone(build_model, tokens):
    model = FrozenModel("a", build_model("gpt2"))
    where = torch.ones_like(tokens, dtype=torch.bool)
    units = torch.tensor([4])
    groups = [[], [Edit(0, EditKind.fix, units, value=3.0)], [Edit(1, EditKind.scale, units, value=0.5)]]
    with edited(model, groups, where):
        together = model.capture(tokens.repeat(3, 1), Site.resid_post)[-1]
    for index, group in enumerate(groups):
        with edited(model, [group], where):
            alone = model.capture(tokens, Site.resid_post)[-1]
        # Larger batches take other kernels, which round differently.
        torch.testing.assert_close(together[2 * index : 2 * index + 2], alone, atol=1e-5, rtol=1e-5)
