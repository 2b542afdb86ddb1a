"""The comparison of universal neurons with the rest, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, pearsonr

from tests.reference import properties as reference
from un_lightning.analyses.properties.claims import CLAIMS
from un_lightning.analyses.properties.report import PropertiesReport
from un_lightning.config import PropertiesConfig


LAYERS, WIDTH = 4, 60
EFFECTS = {
    "l2_penalty": 1.0,
    "input_bias": -1.0,
    "skew": 1.2,
    "kurt": 0.0,
    "sparsity": 1.0,
    "in_out_sim": 0.3,
}


def planted(seed, universal=8):
    """Universal neurons with known shifts: three claims hold, one is open, one is reversed."""
    generator = np.random.default_rng(seed)
    layer, neuron = np.divmod(np.arange(LAYERS * WIDTH), WIDTH)
    chosen = neuron < universal
    table = pd.DataFrame({"model": "m", "layer": layer, "neuron": neuron})
    for column, shift in EFFECTS.items():
        table[column] = generator.normal(size=len(table)) + 3 * layer + shift * chosen
    table["sparsity"] = 1 / (1 + np.exp(-table["sparsity"]))
    table["in_in_max"] = generator.beta(4, 8, len(table)) + 0.3 * chosen
    table["out_out_max"] = generator.beta(4, 8, len(table))
    table["excess_corr"] = np.where(chosen, 0.7, 0.1) + generator.uniform(-0.1, 0.1, len(table))
    return table


@pytest.fixture(scope="module")
def table():
    table = planted(0)
    table.loc[7, "excess_corr"] = np.nan
    table.loc[11, "skew"] = np.nan
    return table


@pytest.fixture(scope="module")
def results(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "m.parquet"
    table.to_parquet(path)
    return PropertiesReport(PropertiesConfig(tables=str(path), permutations=400), seed=0)()


def test_effects_match_the_reference(results, table):
    effects = results.tables["effects"].set_index("column")
    kept = table[table["excess_corr"].notna()]
    for column in (*EFFECTS, "in_in_max"):
        part = kept[kept[column].notna()]
        values, layer = part[column].to_numpy(), part["layer"].to_numpy()
        chosen = (part["excess_corr"] > 0.5).to_numpy()
        row = effects.loc[column]
        assert row["auc"] == pytest.approx(reference.auc(values, chosen, layer))
        assert row["ks"] == pytest.approx(reference.ks(values, chosen, layer), abs=1e-9)
        assert row["cliffs_delta"] == pytest.approx(2 * row["auc"] - 1)
        percentile = np.median(reference.percentiles(values, layer)[chosen])
        assert row["median_percentile"] == pytest.approx(percentile)
        assert row["universal_mean"] == pytest.approx(values[chosen].mean())
        assert row["rest_median"] == pytest.approx(np.median(values[~chosen]))
        assert (row["universal"], row["rest"]) == (chosen.sum(), (~chosen).sum())
    for name in ("auc", "ks"):
        adjusted = false_discovery_control(effects[f"p_{name}"], method="bh")
        np.testing.assert_allclose(effects[f"q_{name}"], adjusted)


def test_near_copies_count_once_in_the_tests(results, tmp_path):
    """Each neuron is there three times: effects stay, tests see as many neurons as without the copies."""
    table = planted(0)
    thrice = pd.concat([table.assign(neuron=table["neuron"] + WIDTH * copy) for copy in range(3)])
    thrice["cluster"] = thrice["layer"] * WIDTH + thrice["neuron"] % WIDTH
    (tmp_path / "once").mkdir()
    table.to_parquet(tmp_path / "once" / "m.parquet")
    thrice.to_parquet(tmp_path / "m.parquet")
    run = lambda path: PropertiesReport(PropertiesConfig(tables=str(path), permutations=400), seed=0)()
    once, found = run(tmp_path / "once" / "m.parquet"), run(tmp_path / "m.parquet")
    before, after = (r.tables["effects"].set_index("column") for r in (once, found))
    assert (after["n"] == 3 * before["n"]).all()
    assert (after["n_clusters"] == before["n"]).all()
    assert (after["universal_clusters"] == before["universal"]).all()
    pd.testing.assert_series_equal(after["auc_clusters"], before["auc"], check_names=False)
    pd.testing.assert_series_equal(after["auc"], before["auc"])
    np.testing.assert_allclose(after["p_auc"], before["p_auc"], atol=0.08)
    assert (
        dict(found.headline)["m: near-copies"] == "counted once in the tests: 32 universal against 208 others"
    )
    assert dict(results.headline)["m: near-copies"].startswith("not known")


def test_claims_get_the_verdict_that_was_planted(results):
    claims = results.tables["claims"].set_index("claim")
    assert claims["verdict"].to_dict() == {
        "larger weight norm": "holds",
        "more negative bias": "holds",
        "higher skew": "holds",
        "higher kurtosis": "open",
        "lower frequency": "reversed",
    }
    lines = dict(results.headline)
    assert lines["m: universal neurons (excess > 0.5)"] == "31 against 208 others"
    assert lines["larger weight norm"].startswith("holds: AUC 0.")
    assert "p ≤ 0.002" in lines["lower frequency"]
    assert results.scalars["claims/holding"] == 3
    assert results.scalars["neurons/invalid"] == 1


def test_layers_have_their_own_means_and_medians(results, table):
    rows = results.tables["by_layer"].query("column == 'kurt'").set_index("layer")
    for layer, own in table[table["excess_corr"].notna()].groupby("layer"):
        chosen = own["excess_corr"] > 0.5
        assert rows.loc[layer, "universal_median"] == pytest.approx(own["kurt"][chosen].median())
        assert rows.loc[layer, "rest_mean"] == pytest.approx(own["kurt"][~chosen].mean())
        assert rows.loc[layer, "universal_count"] == chosen.sum()


def test_relations_are_pearson_correlations(results, table):
    relations = results.tables["relations"].set_index(["x", "y", "group"])["pearson"]
    expected = pearsonr(table["sparsity"], table["in_out_sim"]).statistic
    assert relations["sparsity", "in_out_sim", "all"] == pytest.approx(expected)
    part = table[table["excess_corr"] > 0.5]
    expected = pearsonr(part["excess_corr"], part["in_in_max"]).statistic
    assert relations["excess_corr", "in_in_max", "universal"] == pytest.approx(expected)


def test_every_figure_is_drawn(results):
    assert {*results.figures} == {"percentiles", "by_layer", "cos_against_frequency", "redundancy"}


def test_several_models_are_compared_in_one_run(tmp_path):
    for name, seed in (("x", 1), ("y", 2)):
        planted(seed).drop(columns="model").to_csv(tmp_path / f"{name}.csv", index=False)
    config = PropertiesConfig(
        tables={name: str(tmp_path / f"{name}.csv") for name in "xy"}, columns=["skew"], permutations=99
    )
    results = PropertiesReport(config, seed=0)()
    assert results.tables["effects"]["model"].tolist() == ["x", "y"]
    assert {"auc/skew/x", "auc/skew/y", "universal/count/x"} <= {*results.scalars}
    assert {"by_layer_x", "by_layer_y", "percentiles"} <= {*results.figures}
    assert len(results.tables["claims"]) == 2 * len(CLAIMS)
    unknown = results.tables["claims"].query("column == 'kurt'")
    assert unknown["verdict"].tolist() == ["unknown", "unknown"]


@pytest.mark.parametrize("universal", [0, WIDTH])
def test_a_table_of_one_group_gives_what_it_can(tmp_path, universal):
    """The published tables hold universal neurons only: medians, but nothing to compare with."""
    planted(0, universal=universal).to_parquet(tmp_path / "m.parquet")
    config = PropertiesConfig(tables=[str(tmp_path / "m.parquet")], permutations=10)
    results = PropertiesReport(config, seed=0)()
    assert results.tables["effects"]["auc"].isna().all()
    assert results.tables["claims"]["verdict"].eq("unknown").all()
    assert len(results.headline) == 1
    assert {*results.figures} == {"by_layer", "cos_against_frequency"}
    count = "universal_count" if universal else "rest_count"
    assert results.tables["by_layer"].query("column == 'skew'")[count].tolist() == [WIDTH] * LAYERS


def test_one_wrong_setting_is_named():
    for tables in (None, [], {}, 3, [1]):
        with pytest.raises(ValueError, match="analysis.tables is .*: set it to a neuron table"):
            PropertiesConfig(tables=tables)
    with pytest.raises(ValueError, match="analysis.alpha"):
        PropertiesConfig(tables="x", alpha=1.5)
