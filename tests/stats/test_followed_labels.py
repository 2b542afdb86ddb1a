"""Histograms and sums of followed labels against loops."""

import numpy as np
import pytest
import torch

from tests.reference import families as reference
from tests.stats.ranks import continued, heavy, merge, splits
from un_lightning.stats import followed_labels
from un_lightning.stats.followed_labels import NONE, FollowedLabels, LabelledTokens
from un_lightning.stats.histogram import Histogram
from un_lightning.stats.jackknife import standard_error


CPU = torch.device("cpu")
UNITS, SLOTS, BINS, GROUPS, LABELS = 24, 3, 20, 5, 7


def setting(tokens=700):
    generator = torch.Generator().manual_seed(4)
    labels = torch.rand(tokens, LABELS, generator=generator) < 0.2
    groups = torch.arange(tokens) // 20 % GROUPS
    slots = torch.randint(NONE, LABELS, (UNITS, SLOTS), generator=generator)
    slots[3] = NONE
    return heavy(tokens) - heavy(tokens).mean(0), labels, groups, slots


def fresh():
    values = setting()[0]
    histogram = Histogram(values.amin(0) - 1, values.amax(0) + 1, BINS)
    return FollowedLabels(UNITS, SLOTS, BINS, GROUPS, LABELS, CPU), histogram


def add(pair, rows, sizes):
    followed, histogram = pair
    values, labels, groups, slots = setting()
    for part in splits(len(rows), sizes):
        own = rows[part]
        followed.add_tokens(labels[own], groups[own])
        for columns in (slice(0, 9), slice(9, UNITS)):
            some = values[own, columns].contiguous()
            places = histogram.add(0, columns, some)
            tokens = LabelledTokens(labels[own], groups[own])
            followed.add(columns, slots[columns], tokens, some, places)
    return pair


@pytest.mark.parametrize("entries", [1 << 22, 50])
@pytest.mark.parametrize("sizes", [(64, 3), (1000,)])
def test_histograms_and_sums_equal_loops(sizes, entries, monkeypatch):
    monkeypatch.setattr(followed_labels, "_ENTRIES", entries)
    values, labels, groups, slots = setting()
    followed, histogram = add(fresh(), torch.arange(700), sizes)
    lacking = followed.lacking(histogram)
    for unit in range(UNITS):
        for slot in range(SLOTS):
            label = slots[unit, slot]
            if label == NONE:
                assert followed.tensors["having"][unit, slot].sum() == 0
                continue
            for having, found in ((True, followed.tensors["having"]), (False, lacking)):
                chosen = labels[:, label] == having
                alone = Histogram(histogram.low, histogram.high, BINS)
                alone.add(0, slice(None), values[chosen])
                assert (found[unit, slot] == alone.counts()[unit]).all()


def test_errors_equal_a_jackknife_over_tokens():
    values, labels, groups, slots = setting()
    followed, _ = add(fresh(), torch.arange(700), (64,))
    sums = followed.group_sums(slots)
    corr = sums.total().correlation()[0]
    error = standard_error(corr, sums.without_each().correlation(), sums.tokens).view(UNITS, SLOTS)
    for unit in range(5, UNITS):
        for slot, label in enumerate(slots[unit].tolist()):
            if label != NONE:
                having = labels[:, label].numpy()
                expected = reference.jackknife(values[:, unit].numpy(), having, groups.numpy())
                # float32 squares of heavy tails
                assert error[unit, slot].item() == pytest.approx(expected, rel=2e-4)
                r = np.corrcoef(values[:, unit], having)[0, 1]
                assert corr.view(UNITS, SLOTS)[unit, slot].item() == pytest.approx(r, abs=1e-5)


def test_ranks_and_resuming_change_nothing():
    whole = add(fresh(), torch.arange(700), (100,))
    parts = [add(fresh(), torch.arange(rank, 700, 2), (50,)) for rank in range(2)]
    stopped = add(fresh(), torch.arange(300), (100,))
    again = tuple(continued(old, new) for old, new in zip(stopped, fresh(), strict=True))
    add(again, torch.arange(300, 700), (100,))
    for index in range(2):
        merge([part[index] for part in parts])
        for other in (parts[0][index], again[index]):
            for name, tensor in whole[index].tensors.items():
                torch.testing.assert_close(other.tensors[name], tensor, rtol=1e-5, atol=1e-2)


def test_tokens_of_a_block_are_no_independent_evidence():
    """Values and labels that only differ between blocks, and know nothing of each other."""
    generator = torch.Generator().manual_seed(9)
    blocks, context, units = 256, 20, 300
    groups = torch.arange(blocks).repeat_interleave(context) % 64
    values = torch.randn(blocks, units, generator=generator).repeat_interleave(context, 0)
    labels = (torch.rand(blocks, 1, generator=generator) < 0.3).repeat_interleave(context, 0)
    histogram = Histogram(values.amin(0) - 1, values.amax(0) + 1, BINS)
    followed = FollowedLabels(units, 1, BINS, 64, 1, CPU)
    followed.add_tokens(labels, groups)
    places = histogram.add(0, slice(None), values)
    slots = torch.zeros(units, 1, dtype=torch.int64)
    followed.add(slice(None), slots, LabelledTokens(labels, groups), values, places)
    sums = followed.group_sums(slots)
    corr = sums.total().correlation()[0]
    error = standard_error(corr, sums.without_each().correlation(), sums.tokens)
    beyond = lambda statistic, level: (statistic.abs() > level).double().mean().item()
    assert beyond(corr / error, 2.0) < 0.09  # 5 % are expected; three standard errors of a share are 4 %
    assert beyond(corr * (blocks * context) ** 0.5, 2.0) > 0.4  # what counting tokens would call significant
