"""Intervals of the correlation analysis, read off its running sums."""

import numpy as np
import pytest
import torch

from tests.analyses.correlation.test_analysis import captured, counted, family, gpt2
from tests.reference import jackknife as reference
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import CorrelationConfig
from un_lightning.data.loader import reading_order


def test_errors_equal_leaving_out_batches(validate, tokens):
    """Five groups of one batch each, against correlations of the tokens of the other four."""
    models = {"a": gpt2(0), "b": gpt2(1)}
    config = CorrelationConfig(jackknife=5, candidates=128)
    results = validate(CorrelationAnalysis(config, family(**models), seed=0), batch_size=8)
    table = results.tables["neurons"].query("model == 'a'").reset_index()
    assert table["followed"].all()
    best = results.tables["matches"].query("model == 'a' and rank == 1").reset_index()
    values = {name: captured(model, tokens) for name, model in models.items()}
    group = np.empty(len(tokens), dtype=int)
    group[reading_order(40, 40, 0)] = np.repeat(np.arange(5), 8)
    group = np.repeat(group[:, None], tokens.shape[1], axis=1)[counted(tokens)]
    for unit in (0, 17, 90):
        partner = best["match_layer"][unit] * 64 + best["match_neuron"][unit]
        left_out = reference.leave_one_out(values["a"][:, unit], values["b"][:, partner], group)
        # Groups differ by a token or two, which the weights know and the textbook does not.
        np.testing.assert_allclose(
            table["corr_stderr"][unit], reference.equal_groups_error(left_out), rtol=0.02
        )
    assert (table["mean_corr_low"] < table["mean_corr"]).all()
    assert (table["mean_corr_high"] > table["mean_corr"]).all()
    assert (table["excess_low"] < table["excess_corr"]).all()
    scalars = results.scalars
    assert scalars["universal/low"] <= scalars["universal/count"] <= scalars["universal/high"]


@pytest.mark.parametrize("batch_size", [1, 7, 40, 64])
def test_any_number_of_batches_has_intervals(validate, batch_size):
    """More groups than batches, or a single batch, is no error: a single group has no interval."""
    config = CorrelationConfig(jackknife=20, candidates=128)
    models = family(a=gpt2(0), b=gpt2(1), c=gpt2(2, layers=1))
    table = validate(CorrelationAnalysis(config, models, seed=0), batch_size).tables["neurons"]
    single = batch_size >= 40
    assert table["followed"].all()
    assert table["excess_low"].isna().all() == single


def test_the_fewest_groups_have_every_column(validate):
    config = CorrelationConfig(jackknife=3, candidates=128)
    models = family(a=gpt2(0), b=gpt2(1))
    table = validate(CorrelationAnalysis(config, models, seed=0), batch_size=8).tables["neurons"]
    assert np.isfinite(table[["excess_low", "excess_high", "corr_stderr", "split_corr"]]).all(axis=None)


def test_an_argmax_that_was_no_candidate_says_so(validate):
    config = CorrelationConfig(jackknife=5, candidates=1)
    results = validate(CorrelationAnalysis(config, family(a=gpt2(0), b=gpt2(1)), seed=0))
    table = results.tables["neurons"].query("model == 'a'")
    lost = table[~table["followed"]]
    assert 0 < len(lost) < len(table)
    assert lost[["excess_low", "excess_high", "corr_stderr"]].isna().all(axis=None)
    assert results.scalars["neurons/not_followed"] == len(lost)


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
