"""Measures and baselines of the correlation analysis, end to end on small models."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.analyses.correlation.test_analysis import NEURONS, Lookup, captured, counted, family, gpt2
from tests.reference import correlation as reference
from tests.reference import measures as brute
from tests.reference.chance import mean_over_draws
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.analyses.correlation.baselines import draw_seed
from un_lightning.analyses.correlation.pair_measures import _OF_PRODUCTS
from un_lightning.config import Baseline, CorrelationConfig, MeasureName, Pairs, Site
from un_lightning.config.correlation import FROM_PARTS
from un_lightning.stats.measures import MEASURES
from un_lightning.stats.shuffle import shuffled_tokens


ALL = list(MeasureName)


def analysis(models, seed=0, **settings):
    settings = {"draws": 1, "jackknife": 0} | settings
    return CorrelationAnalysis(CorrelationConfig(**settings), family(**models), seed=seed)


def layers_of(values, widths):
    return np.split(values, np.cumsum(widths)[:-1], axis=1)


def test_the_config_names_every_measure_there_is():
    assert {str(name) for name in MeasureName} == set(MEASURES)
    assert set(_OF_PRODUCTS) == set(MeasureName) - set(FROM_PARTS)


@pytest.mark.parametrize("batch_size", [7, 64])
def test_tables_equal_brute_force(validate, tokens, batch_size):
    """Models of different width and depth; tolerances are float32's rounding."""
    models = {"a": gpt2(0), "b": gpt2(1, layers=3), "c": gpt2(2, inner=40)}
    results = validate(analysis(models, measures=ALL, full_gram=True, top_k=3, tile=50), batch_size)
    values = {name: captured(model, tokens) for name, model in models.items()}
    widths = {"a": [NEURONS] * 2, "b": [NEURONS] * 3, "c": [40] * 2}
    measures, similarity = results.tables["measures"], results.tables["layer_similarity"]
    assert len(measures) == 2 * (128 + 192 + 80) - 192 - 80
    for mine, other in (("a", "b"), ("c", "a")):
        one, two = values[mine], values[other]
        rho = reference.correlations(one, two)
        units = measures.query("model == @mine and other == @other")
        np.testing.assert_allclose(units["cosine_max"], brute.cosines(one, two).max(1), atol=2e-6)
        np.testing.assert_allclose(units["jaccard_max"], brute.jaccards(one, two).max(1), rtol=1e-6)
        np.testing.assert_array_equal(units["mutual"], brute.mutual(rho))
        np.testing.assert_array_equal(units["mutual_top_k"], brute.mutual(rho, 3))
        layers = layers_of(two, widths[other])
        for unit in (0, 50, len(rho) - 1):
            row = units.iloc[unit]
            r2 = [brute.ridge_r_squared(layer, one[:, unit], 1e-4) for layer in layers]
            assert row["linreg_r2"] == pytest.approx(max(r2), abs=1e-4)
            assert row["linreg_layer"] == np.argmax(r2)
            expected = brute.ridge_r_squared(two, one[:, unit], 1e-4)
            assert row["linreg_all_r2"] == pytest.approx(expected, abs=1e-4)
        matched = units.dropna(subset=["matched_layer"])
        partner = (matched["matched_layer"] * widths[other][0] + matched["matched_neuron"]).astype(int)
        assert partner.is_unique
        own = matched["layer"] * widths[mine][0] + matched["neuron"]
        np.testing.assert_allclose(matched["matched_corr"], rho[own, partner], atol=2e-6)
        found = similarity.query("model == @mine and other == @other").set_index(["layer", "match_layer"])
        for i, left in enumerate(layers_of(one, widths[mine])):
            for j, right in enumerate(layers):
                assert found["cka"][i, j] == pytest.approx(brute.cka(left, right), rel=1e-5)
                block = reference.correlations(left, right)
                together = found["matching"][i, j] * min(block.shape)
                gap = (block.max(1).sum() - together) / len(block)
                assert found["matching_gap"][i, j] == pytest.approx(gap, abs=2e-6)
        assert len(found) == len(widths[mine]) * len(widths[other])


def test_neuron_columns_and_scalars_are_over_the_other_models(validate):
    models = {"a": gpt2(0), "b": gpt2(1), "c": gpt2(2, inner=40)}
    results = validate(analysis(models, measures=ALL, full_gram=True, pairs=Pairs.all))
    neurons, measures = results.tables["neurons"], results.tables["measures"]
    assert set(measures.query("model == 'c'")["other"]) == {"a", "b"}
    grouped = measures.query("model == 'a'").groupby(["layer", "neuron"])
    own = neurons.query("model == 'a'")
    for column in ("cosine_max", "jaccard_max", "linreg_r2", "linreg_all_r2", "matched_corr"):
        np.testing.assert_allclose(own[column], grouped[column].mean())
    for column in ("mutual", "mutual_top_k"):
        np.testing.assert_array_equal(own[column], grouped[column].sum())
        assert own[column].max() <= 2
    scalars = results.scalars
    assert scalars["mutual/percent"] == pytest.approx(50 * own["mutual"].mean())
    assert scalars["mutual/percent_all"] == pytest.approx(100 * (own["mutual"] == 2).mean())
    assert scalars["cosine/mean"] == pytest.approx(own["cosine_max"].mean())
    cka = results.tables["layer_similarity"].query("model == 'a'")
    assert scalars["cka/mean_diagonal"] == pytest.approx(cka.query("layer == match_layer")["cka"].mean())
    assert scalars["linreg/null"] == pytest.approx(52 / scalars["counted_tokens"])
    assert scalars["linreg/ridge"] == 1e-4
    assert 0 < scalars["matching/gap"] < 1
    for name in ("linreg/mean_r2", "linreg/mean_all_r2", "jaccard/mean", "matching/mean_corr"):
        assert 0 < scalars[name] <= 1
    assert all(np.isfinite(value) for value in results.numbers().values())


def test_what_is_not_asked_for_is_not_there(validate):
    models = {"a": gpt2(0), "b": gpt2(1)}
    results = validate(analysis(models, measures=[]))
    assert {"measures", "layer_similarity"}.isdisjoint(results.tables)
    assert not any(name.split("/")[0] in MEASURES for name in results.scalars)
    default = validate(analysis(models))
    assert {"mutual/percent", "cka/mean_diagonal"} <= set(default.scalars)
    assert "cosine_max" not in default.tables["measures"]
    assert "matched_layer" not in default.tables["measures"]


def test_a_rotated_layer_is_contained_and_equally_similar_but_shares_no_units(validate):
    rotation = torch.linalg.qr(torch.randn(96, 96, generator=torch.Generator().manual_seed(8)))[0]
    # As many blocks as units would let anything be explained; tokens are 40 times as many as units here.
    results = validate(
        analysis({"a": Lookup(), "b": Lookup(rotation)}, measures=ALL, site=Site.units, draws=5)
    )
    units = results.tables["neurons"].query("model == 'a'")
    kept, rotated = units.query("layer == 0"), units.query("layer == 1")
    np.testing.assert_allclose(kept["matched_corr"], 1.0, atol=1e-6)
    np.testing.assert_array_equal(kept["mutual"], 1)
    np.testing.assert_allclose(kept["jaccard_max"], 1.0)
    np.testing.assert_allclose(rotated["linreg_r2"], 1.0, atol=2e-3)
    assert abs(rotated["excess_corr"].mean()) < 0.03
    assert not rotated["universal"].any()
    assert results.scalars["linreg/subspace_percent"] == pytest.approx(50, abs=3)
    similarity = results.tables["layer_similarity"].query("model == 'a' and layer == match_layer")
    np.testing.assert_allclose(similarity["cka"], 1.0, atol=1e-5)
    assert results.scalars["cka/mean_diagonal"] == pytest.approx(1.0, abs=1e-5)
    assert results.scalars["linreg/mean_r2"] == pytest.approx(1.0, abs=2e-3)


def test_dead_and_broken_neurons_have_no_measures(validate):
    model, other = gpt2(0), gpt2(1)
    mlp = model.transformer.h[0].mlp
    mlp.c_fc.weight.data[:, 3] = 0
    mlp.c_fc.bias.data[9] = float("nan")
    mlp.c_proj.register_forward_pre_hook(lambda _module, args: (torch.nan_to_num(args[0]),))
    results = validate(analysis({"a": model, "b": other}, measures=ALL, full_gram=True))
    table = results.tables["measures"].query("model == 'a'").reset_index(drop=True)
    numbers = ["cosine_max", "jaccard_max", "linreg_r2", "linreg_layer", "linreg_all_r2"]
    numbers += ["matched_layer", "matched_neuron", "matched_corr"]
    assert table.loc[[3, 9], numbers].isna().all(axis=None)
    assert not table.loc[[3, 9], ["mutual", "mutual_top_k"]].any(axis=None)
    assert table.drop([3, 9])[numbers].notna().all(axis=None)
    back = results.tables["measures"].query("model == 'b'")
    assert back.query("matched_layer == 0 and matched_neuron in [3, 9]").empty
    assert back["matched_corr"].isna().sum() == 2
    assert back[numbers[:5]].notna().all(axis=None)
    assert results.tables["layer_similarity"].notna().all(axis=None)


def test_float64_takes_the_rounding_away(validate, tokens):
    models = {name: gpt2(seed).double() for name, seed in (("a", 0), ("b", 1))}
    results = validate(analysis(models, measures=ALL).double())
    one, two = (captured(model, tokens) for model in models.values())
    table = results.tables["measures"].query("model == 'a'")
    np.testing.assert_allclose(table["cosine_max"], brute.cosines(one, two).max(1), atol=1e-12)
    r2 = max(brute.ridge_r_squared(layer, one[:, 7], 1e-4) for layer in layers_of(two, [NEURONS] * 2))
    assert table["linreg_r2"].iloc[7] == pytest.approx(r2, abs=1e-10)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_the_permutation_baseline_equals_a_second_pass(validate, tokens, batch_size):
    """The shuffle is known from seed, model, draw and block alone: any batch size gives the same."""
    models = {"a": gpt2(0), "b": gpt2(1, inner=40), "c": gpt2(2)}
    config = {"baseline": Baseline.permutation, "draws": 2, "tile": 50, "measures": []}
    results = validate(analysis(models, seed=5, **config), batch_size)
    keep = counted(tokens)
    values = {name: captured(model, tokens) for name, model in models.items()}
    flat = keep.flatten()
    positions = flat.nonzero()[0]
    expected = {}
    for other in "bc":
        per_draw = []
        for draw in range(2):
            seed = draw_seed(5, other, "tokens", draw)
            source = shuffled_tokens(torch.from_numpy(keep), torch.arange(len(tokens)), seed).numpy()
            rows = np.searchsorted(positions, source[flat])
            rho = reference.correlations(values["a"], values[other][rows])
            per_draw.append((rho.max(1), rho.max(0)))
        expected[other] = [np.stack(side) for side in zip(*per_draw, strict=True)]
    neurons = results.tables["neurons"]
    both = np.stack([expected[other][0] for other in "bc"])
    own = neurons.query("model == 'a'")
    np.testing.assert_allclose(own["mean_baseline"], both.mean((0, 1)), atol=2e-6)
    np.testing.assert_allclose(own["max_baseline"], both.mean(1).max(0), atol=2e-6)
    np.testing.assert_allclose(own["baseline_stderr"], mean_over_draws(both)[1], atol=2e-6)
    back = neurons.query("model == 'b'")
    np.testing.assert_allclose(back["mean_baseline"], expected["b"][1].mean(0), atol=2e-6)


def test_two_ranks_add_up_what_every_measure_and_the_permutation_need(in_parts):
    """Which tokens change places depends on no rank. float32 sums in another order: 1e-5 of the largest."""
    models = {"a": gpt2(0), "b": gpt2(1, inner=40)}
    settings = {"measures": ALL, "full_gram": True, "baseline": Baseline.permutation, "draws": 2}
    make = lambda: analysis(models, jackknife=0, **settings)
    in_parts(make, batch_size=5).ranks_add_up(rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("baseline", list(Baseline))
def test_every_baseline_has_the_same_columns_and_lies_below_a_copy(validate, baseline):
    results = validate(analysis({"a": Lookup(), "b": Lookup()}, baseline=baseline, draws=3, site=Site.units))
    units = results.tables["neurons"]
    assert units[["max_baseline", "mean_baseline", "min_baseline", "baseline_stderr"]].notna().all(axis=None)
    assert (units["mean_baseline"] < 0.9).mean() > 0.9
    assert units["baseline_stderr"].between(0, 0.2).all()
    assert results.scalars["baseline/mean"] < 0.5
    assert any(str(baseline) in label for label, _ in results.headline)
    if baseline is Baseline.noise:
        # About 580 tokens and 192 partners: √(2 ln 192 / 580) = 0.13, a little less at finite numbers.
        assert results.scalars["baseline/mean"] == pytest.approx(0.115, abs=0.015)


def test_every_extra_sum_is_saved_and_merged_and_no_idle_one_is_kept(validate):
    one = analysis(
        {"a": gpt2(0), "b": gpt2(1)}, measures=ALL, full_gram=True, baseline=Baseline.permutation, draws=2
    )
    validate(one)
    names = set(one.statistics)
    assert {"active-a", "joint-a-b-0", "full-b", "shuffled0-a-b-0", "shuffled1-a-b-0", "grams-a"} <= names
    lean = analysis({"a": gpt2(0), "b": gpt2(1)}, measures=[MeasureName.mutual], baseline=Baseline.noise)
    validate(lean)
    assert set(lean.statistics) == {"sums-a", "sums-b", "support-a", "support-b", "product-a-b-0"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ridge": 0.0}, "ridge is 0"),
        ({"measures": [MeasureName.cka] * 2}, "twice: cka, cka"),
        ({"full_gram": True}, "add linreg"),
        ({"matching_size": -1}, "matching_size is -1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CorrelationConfig(**settings)


def test_tables_can_be_written(validate, tmp_path):
    results = validate(analysis({"a": gpt2(0), "b": gpt2(1, layers=3)}, measures=ALL))
    results.write(tmp_path)
    table = pd.read_parquet(tmp_path / "tables" / "measures.parquet")
    assert str(table["matched_layer"].dtype) == "Int64"
    assert (
        table.query("model == 'b'")["matched_layer"].isna().sum() == NEURONS
    )  # the third layer is left over
