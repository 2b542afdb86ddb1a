"""Metrics of logits against softmax and sorting, and sums of groups against leaving out tokens."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.interventions import metrics
from tests.stats.ranks import continued, merge, splits
from un_lightning.stats.grouped_sums import GroupedSums
from un_lightning.stats.token_metrics import (
    METRICS,
    SUMS,
    token_metrics,
    untouched_metrics,
    vocabulary_sums,
)


def random(*shape, seed=0, dtype=torch.float64):
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(
        dtype
    )


def compute(logits, plain, targets, log_frequency=None):
    """Metrics of [tokens, edits, vocabulary] logits, and of the untouched ones."""
    untouched, own = untouched_metrics(plain.clone(), targets, log_frequency)
    sums = torch.empty(SUMS, *logits.shape[:2], dtype=logits.dtype)
    picked = torch.stack([targets, untouched.top], dim=1)
    vocabulary_sums(logits.clone(), picked, untouched.probability, sums, log_frequency)
    return token_metrics(sums, untouched, log_frequency is not None), own


@pytest.mark.parametrize("with_frequency", [True, False])
def test_metrics_are_those_of_softmax_and_sorting(with_frequency):
    tokens, edits, vocabulary = 12, 3, 41
    logits, plain = random(tokens, edits, vocabulary), random(tokens, vocabulary, seed=1)
    targets = torch.arange(tokens) % vocabulary
    log_frequency = random(vocabulary, seed=2).log_softmax(0) if with_frequency else None
    found, own = compute(logits, plain, targets, log_frequency)
    # The reference takes blocks of tokens and predicts the next one.
    follow = torch.cat([torch.zeros(1, dtype=torch.int64), targets])[None]
    extend = lambda values: torch.cat([values, values[:1]])[None]
    given = None if log_frequency is None else log_frequency.numpy()
    for edit in range(edits):
        expected = metrics(extend(logits[:, edit]), extend(plain), follow, given)
        for name, column in zip(METRICS, found[..., edit], strict=True):
            np.testing.assert_allclose(column, expected[name][0], rtol=1e-12, atol=1e-12, err_msg=name)
    expected = metrics(extend(plain), extend(plain), follow, given)
    for name, column in zip(METRICS, own, strict=True):
        np.testing.assert_allclose(column, expected[name][0], rtol=1e-12, atol=1e-12, err_msg=name)


@given(st.lists(st.integers(-2, 2), min_size=2, max_size=9), st.data())
def test_of_equal_logits_none_is_before_the_other(logits, data):
    target = data.draw(st.integers(0, len(logits) - 1))
    tensor = torch.tensor(logits, dtype=torch.float32)[None]
    found, own = compute(tensor[None], tensor, torch.tensor([target]))
    rank = sum(value > logits[target] for value in logits)
    assert found[METRICS.index("rank")].item() == own[METRICS.index("rank")].item() == rank
    assert found[METRICS.index("reciprocal_rank")].item() == pytest.approx(1 / (rank + 1))
    assert found[METRICS.index("top_changed")].item() == 0


@given(st.floats(-1e3, 1e3))
def test_an_offset_of_all_logits_changes_nothing(offset):
    logits, plain, targets = random(5, 2, 17), random(5, 17, seed=1), torch.arange(5)
    found, _ = compute(logits, plain, targets)
    moved, _ = compute(logits + offset, plain + offset, targets)
    torch.testing.assert_close(moved, found, rtol=1e-9, atol=1e-9)


def test_float32_keeps_its_digits_far_from_zero():
    """GPT-2's logits lie around -100: what is summed lies near zero all the same."""
    logits, plain, targets = random(200, 2, 400), random(200, 400, seed=1), torch.arange(200)
    expected, _ = compute(logits.float().double(), plain.float().double(), targets)
    shifted = lambda x: (x.float() - 128).double()  # what float32 holds of it
    expected, _ = compute(shifted(logits), shifted(plain), targets)
    found, _ = compute(logits.float() - 128, plain.float() - 128, targets)
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=2e-5)


@pytest.fixture
def stream():
    generator = torch.Generator().manual_seed(3)
    group = torch.randint(0, 6, (500,), generator=generator)
    group[group == 4] = 5  # a group without tokens
    return group, torch.randn(2, 3, 500, generator=generator, dtype=torch.float64) + group


def add(sums, stream, sizes=(500,), rows=slice(None)):
    group, values = stream[0][rows], stream[1][..., rows]
    for part in splits(len(group), sizes):
        sums.add(group[part], values[..., part])
    return sums


def new():
    return GroupedSums(7, (2, 3), torch.device("cpu"))


def test_estimates_are_those_of_leaving_out_one_group(stream):
    group, values = stream
    quantity = lambda means: means[..., 0, :] - means[..., 1, :1] / means[..., 1, 1:2]
    found = add(new(), stream).estimate(quantity)
    whole = quantity(values.mean(-1))
    np.testing.assert_allclose(found.value, whole, rtol=1e-12)
    present = group.unique().tolist()
    without = torch.stack([quantity(values[..., group != one].mean(-1)) for one in present])
    share = torch.tensor([float((group == one).sum()) / len(group) for one in present], dtype=torch.float64)
    weight = 1 / share[:, None]
    pseudo = weight * whole - (weight - 1) * without
    centre = len(present) * whole - ((1 - share[:, None]) * without).sum(0)
    expected = (((pseudo - centre) ** 2 / (weight - 1)).sum(0) / len(present)).sqrt()
    np.testing.assert_allclose(found.error, expected, rtol=1e-9)
    assert found.degrees == len(present) - 1


def test_differences_are_paired():
    """What text and edit share has no part in the error of their difference."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(400) // 20
    text = 10 * torch.randn(20, generator=generator, dtype=torch.float64)[group]
    sums = GroupedSums(20, (2,), torch.device("cpu"))
    sums.add(group, torch.stack([text, text + 0.5]))
    level, change = (
        sums.estimate(lambda means: means),
        sums.estimate(lambda means: means[..., 1:] - means[..., :1]),
    )
    assert float(level.error.min()) > 0.5
    assert float(change.value) == pytest.approx(0.5)
    assert float(change.error) < 1e-12


@pytest.mark.parametrize("sizes", [(500,), (1,), (7, 130)])
def test_batches_ranks_and_stops_change_nothing(stream, sizes):
    whole = add(new(), stream)
    parts = [add(new(), stream, sizes, slice(rank, None, 2)) for rank in range(2)]
    parts[1] = continued(add(new(), stream, sizes, slice(1, 200, 2)), new())
    add(parts[1], stream, sizes, slice(201, None, 2))
    merge(parts)
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(parts[0].tensors[name], tensor, rtol=1e-12, atol=1e-12)


def test_one_group_has_no_error(stream):
    sums = GroupedSums(1, (2, 3), torch.device("cpu"))
    sums.add(torch.zeros(500, dtype=torch.int64), stream[1])
    assert sums.estimate(lambda means: means).error.isnan().all()
