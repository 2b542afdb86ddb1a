"""Every measure is what it declares to be, and nothing that it does not declare."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stats.measures.sums import pair_sums, slices
from un_lightning.stats.measures import MEASURES, Measure, Transformation, find, register


TOKENS = 150
LEFT, RIGHT = (4, 3), (5, 2)


def models(seed):
    """Two models of independent widths that share three directions."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda width: torch.randn(TOKENS, width, generator=generator, dtype=torch.float64)
    left, right, shared = draw(7), draw(7), draw(3)
    left[:, 2:5] += 2 * shared
    right[:, 1:4] += 1.5 * shared
    return left + 0.3, right - 0.2


def transform(values, widths, what, seed):
    """Change the activations of each layer."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    changes = {
        Transformation.permutation: lambda part: part[:, torch.randperm(part.shape[1], generator=generator)],
        Transformation.isotropic_scaling: lambda part: part * draw(1).exp(),
        Transformation.scaling: lambda part: part * draw(part.shape[1]).exp(),
        Transformation.shift: lambda part: part + draw(part.shape[1]),
        Transformation.rotation: lambda part: part @ torch.linalg.qr(draw(part.shape[1], part.shape[1]))[0],
    }
    pieces = [changes[what](values[:, columns]) for columns in slices(widths)]
    return torch.cat(pieces, dim=1)


def score(measure, left, right):
    return measure.score(pair_sums(left, right, LEFT, RIGHT))


def sides(measure, what):
    """Which models the measure declares that it may be done to."""
    if what in measure.invariant_to:
        return ["left", "right", "both"]
    alone = {"left": measure.left_invariant_to, "right": measure.right_invariant_to}
    return [side for side, declared in alone.items() if what in declared]


def changed(seed, what, side, data):
    left, right = data
    if side in ("left", "both"):
        left = transform(left, LEFT, what, seed + 1)
    if side in ("right", "both"):
        right = transform(right, RIGHT, what, seed + 2)
    return left, right


DECLARED = [
    (measure, what, side)
    for measure in MEASURES.values()
    for what in Transformation
    for side in sides(measure, what)
]
NOT_DECLARED = [
    (measure, what, side)
    for measure in MEASURES.values()
    for what in Transformation
    for side in ("left", "right")
    if side not in sides(measure, what)
]


def names(cases):
    return ["-".join((measure.name, *rest)) for measure, *rest in cases]


@pytest.mark.parametrize(("measure", "what", "side"), DECLARED, ids=names(DECLARED))
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_declared_invariances_hold(measure, what, side, seed):
    data = models(seed)
    expected = score(measure, *data)
    # float64 rounding, times the condition number of a covariance that is at most 1/ridge.
    assert score(measure, *changed(seed, what, side, data)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("measure", "what", "side"), NOT_DECLARED, ids=names(NOT_DECLARED))
def test_what_is_not_declared_does_not_hold(measure, what, side):
    effects = [
        abs(score(measure, *changed(seed, what, side, models(seed))) - score(measure, *models(seed)))
        for seed in range(5)  # a share of seven units may come out the same by chance
    ]
    # The ridge of linreg is what notices factors: the smallest of all effects.
    assert max(effects) > 1e-7


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_declared_symmetry_holds(measure, seed):
    pair = pair_sums(*models(seed), LEFT, RIGHT)
    difference = abs(measure.score(pair) - measure.score(pair.swapped))
    if measure.symmetric:
        assert difference < 1e-12
    else:
        fixed = pair_sums(*models(3), LEFT, RIGHT)
        assert abs(measure.score(fixed) - measure.score(fixed.swapped)) > 1e-4


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_model_is_most_similar_to_itself(measure, seed):
    left, right = models(seed)
    itself = measure.score(pair_sums(left, left, LEFT, LEFT))
    assert measure.larger_is_more_similar
    assert itself >= score(measure, left, right)


def test_a_name_is_taken_once():
    taken = MEASURES["cka"]
    with pytest.raises(ValueError, match="a measure 'cka' already; known are cka"):
        register(Measure("cka", taken.score, True, True, taken.invariant_to))
    assert MEASURES["cka"] is taken


def test_an_unknown_name_lists_what_exists():
    assert find("cosine") is MEASURES["cosine"]
    with pytest.raises(KeyError, match="no measure 'cosin'; known are cka, cosine, jaccard"):
        find("cosin")
