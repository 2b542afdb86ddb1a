"""Intervals of the correlation analysis, read off its running sums."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.analyses.correlation.test_analysis import captured, counted, family, gpt2
from tests.reference import jackknife as reference
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import CorrelationConfig
from un_lightning.data.stretches import group_numbers, reading_order


def text_groups(count):
    """Group of each block: a store that knows no documents has one a block."""
    order = reading_order(np.arange(40), 40, 0)
    group = np.empty(40, dtype=int)
    group[order.blocks] = group_numbers(order, count)
    return group


def table_of(validate, batch_size=8, models=None, **settings):
    models = models or {"a": gpt2(0), "b": gpt2(1)}
    analysis = CorrelationAnalysis(CorrelationConfig(**settings), family(**models), seed=0)
    return validate(analysis, batch_size=batch_size)


@pytest.mark.parametrize("candidates", [128, 1])
def test_errors_equal_leaving_out_groups(validate, tokens, candidates):
    """Five groups, against correlations of the tokens of the other four; a late partner has fewer."""
    models = {"a": gpt2(0), "b": gpt2(1)}
    results = table_of(validate, models=models, jackknife=5, candidates=candidates)
    table = results.tables["neurons"].query("model == 'a'").reset_index()
    assert table["followed"].all() == (candidates == 128)
    best = results.tables["matches"].query("model == 'a' and rank == 1").reset_index()
    values = {name: captured(model, tokens) for name, model in models.items()}
    group = np.repeat(text_groups(5)[:, None], tokens.shape[1], axis=1)[counted(tokens)]
    for unit in table.index[table["followed"]][[0, 9, -1]]:
        partner = best["match_layer"][unit] * 64 + best["match_neuron"][unit]
        left_out = reference.leave_one_out(values["a"][:, unit], values["b"][:, partner], group)
        # Groups differ by a token or two, which the weights know and the textbook does not.
        np.testing.assert_allclose(
            table["corr_stderr"][unit], reference.equal_groups_error(left_out), rtol=0.02
        )
    columns = ["corr_stderr", "mean_corr_low", "mean_corr_high", "excess_low", "excess_high"]
    assert np.isfinite(table[columns]).all(axis=None)  # no unit without an interval
    assert (table["mean_corr_low"] < table["mean_corr"]).all()
    assert (table["mean_corr_high"] > table["mean_corr"]).all()
    assert (table["excess_low"] < table["excess_corr"]).all()
    scalars = results.scalars
    assert scalars["universal/low"] <= scalars["universal/count"] <= scalars["universal/high"]
    assert scalars["neurons/not_followed"] == (~table["followed"]).sum()


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_intervals_do_not_depend_on_the_batch_size(validate, batch_size):
    models = {"a": gpt2(0), "b": gpt2(1), "c": gpt2(2, layers=1)}
    settings = {"models": models, "jackknife": 9, "candidates": 3}
    found, wanted = (table_of(validate, size, **settings).tables["neurons"] for size in (batch_size, 8))
    columns = ["corr_stderr", "mean_corr_low", "excess_low", "excess_high", "split_corr"]
    assert (found["followed"] == wanted["followed"]).all()
    # Sums of float32 in another order.
    pd.testing.assert_frame_equal(found[columns], wanted[columns], rtol=1e-3, atol=1e-5)


def test_a_partner_that_becomes_the_best_late_is_followed_from_then_on(validate):
    """With one candidate, of the first of many groups, most units find their partner later."""
    few = table_of(validate, jackknife=20, candidates=1).tables["neurons"]
    all_of = table_of(validate, jackknife=20, candidates=128).tables["neurons"]
    assert all_of["followed"].all()
    assert few["followed"].mean() > 0.3
    late = few["followed"] & (few["corr_stderr"] - all_of["corr_stderr"]).abs().gt(1e-9)
    assert late.any()
    ratio = few["corr_stderr"][late] / all_of["corr_stderr"][late]
    assert 0.8 < ratio.median() < 1.2  # the same error, from fewer groups of which one is larger
    ratio = few["corr_stderr"][~few["followed"]] / all_of["corr_stderr"][~few["followed"]]
    assert ratio.median() > 0.8


def test_the_interval_of_a_copy_stays_near_one(validate):
    table = table_of(validate, models={"a": gpt2(0), "b": gpt2(0)}, jackknife=5).tables["neurons"]
    assert (table["mean_corr"] > 1 - 1e-5).all()
    assert (table["mean_corr_low"] > 0.999).all()
    assert (table["mean_corr_high"] <= 1).all()


def test_the_fewest_groups_have_every_column(validate):
    config = CorrelationConfig(jackknife=3, candidates=128)
    models = family(a=gpt2(0), b=gpt2(1))
    table = validate(CorrelationAnalysis(config, models, seed=0), batch_size=8).tables["neurons"]
    assert np.isfinite(table[["excess_low", "excess_high", "corr_stderr", "split_corr"]]).all(axis=None)


def test_split_half_takes_the_bias_of_a_maximum_away(validate):
    """Unrelated models: the maximum over 128 partners is high by chance, a measured partner is not."""
    torch.manual_seed(0)
    config = CorrelationConfig(jackknife=8, candidates=16)
    noise = family(a=gpt2(3), b=gpt2(4))
    table = validate(CorrelationAnalysis(config, noise, seed=0)).tables["neurons"].query("model == 'a'")
    assert table["split_corr"].mean() < table["mean_corr"].mean() - 0.01


def test_zero_groups_make_no_columns(validate):
    results = validate(
        CorrelationAnalysis(CorrelationConfig(jackknife=0), family(a=gpt2(0), b=gpt2(1)), seed=0)
    )
    assert "excess_low" not in results.tables["neurons"]
    assert "universal/low" not in results.scalars
