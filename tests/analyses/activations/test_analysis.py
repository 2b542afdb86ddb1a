"""The activations analysis against brute force over captured activations."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import BLOCKS, CONTEXT, VOCABULARY
from tests.reference import activations as reference
from un_lightning.analyses.activations.analysis import ActivationsAnalysis
from un_lightning.config import ActivationsConfig, Exclude, Site
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel


LAYERS, NEURONS = 2, 16
NEWLINE = 199
SUBSETS = ["code", "prose", "verse"]
QUANTILES = [0.01, 0.5, 0.99]
SETTINGS = {
    "pilot": 4,
    "quantiles": QUANTILES,
    "top_tokens": 4,
    "min_count": 3,
    "top_examples": 5,
    "before": 3,
    "after": 2,
    "example_quantiles": [0.0, 0.5, 1.0],
    "examples_per_bin": 1,
    "profiles": 10,
    "paper": True,
}
KEYS = ["layer", "neuron"]


@pytest.fixture(scope="module")
def text():
    """Tokens of Zipf frequencies behind a BOS, in blocks of three subsets; newlines do not count."""
    generator = np.random.default_rng(3)
    weights = 1 / np.arange(1, 41)
    tokens = generator.choice(np.arange(300, 340), size=(BLOCKS, CONTEXT), p=weights / weights.sum())
    tokens[:, 0] = 0
    tokens[::3, 5] = NEWLINE
    tokens[7, 1:] = NEWLINE  # a block in which nothing counts
    return tokens, generator.integers(len(SUBSETS), size=BLOCKS)


@pytest.fixture(scope="module")
def path(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "blocks"
    subsets = [SUBSETS[index] for index in text[1]]
    Dataset.from_dict({"tokens": text[0].tolist(), "subset": subsets}).save_to_disk(folder)
    return folder


def gpt2(activation="gelu_new", dtype=torch.float32):
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=LAYERS, n_embd=16, n_head=2, n_positions=CONTEXT, vocab_size=VOCABULARY, n_inner=NEURONS,
        initializer_range=0.5, activation_function=activation,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval().to(dtype)


def family(model=None):
    return Family("test", {"a": FrozenModel("a", model or gpt2())}, "a", None)


def captured(text, site, model=None):
    layers = FrozenModel("a", model or gpt2()).capture(torch.from_numpy(text[0]), site)
    return torch.cat(layers, dim=2).flatten(0, 1).float().numpy()


@pytest.fixture(scope="module")
def truth(text):
    """Counted tokens only: pre- and post-activations, and what is known about each token."""
    tokens = text[0].ravel()
    kept = ~np.isin(tokens, [0, NEWLINE])
    return {
        "kept": kept,
        "pre": captured(text, Site.mlp_pre)[kept],
        "post": captured(text, Site.mlp_post)[kept],
        "token": tokens[kept],
        "place": np.flatnonzero(kept),
        "position": np.flatnonzero(kept) % CONTEXT,
        "subset": np.repeat(text[1], CONTEXT)[kept],
    }


@pytest.fixture(scope="module")
def finished():
    """Results by what was asked for, so that no run is made twice."""
    return {}


@pytest.fixture
def run(validate, path, finished):
    def analyse(batch_size=7, network=None, exclude=Exclude.paper, **settings):
        asked = repr((batch_size, exclude, settings))
        if network is None and asked in finished:
            return finished[asked]
        config = ActivationsConfig(**{**SETTINGS, **settings})
        results = validate(
            ActivationsAnalysis(config, family(network), seed=0), batch_size, exclude=exclude, path=path
        )
        if network is None:
            finished[asked] = results
        return results

    return analyse


def check_moments(table, values, tolerance=2e-5):
    expected = reference.moments(values)
    for name in ("mean", "var", "skew", "kurt"):
        np.testing.assert_allclose(table[name], expected[name], rtol=tolerance, atol=1e-6)
    np.testing.assert_allclose(table["sparsity"], reference.frequency(values), rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_neurons_equal_brute_force(run, truth, batch_size):
    table = run(batch_size).tables["neurons"]
    pre, post = truth["pre"], truth["post"]
    assert list(table["layer"]) == [0] * NEURONS + [1] * NEURONS
    assert list(table["neuron"]) == [*range(NEURONS)] * 2
    assert table["valid"].all()
    check_moments(table, pre)
    assert (table["min"] == pre.min(0)).all()
    assert (table["max"] == pre.max(0)).all()
    np.testing.assert_allclose(table["post_mean"], reference.moments(post)["mean"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(table["post_var"], reference.moments(post)["var"], rtol=1e-5)
    for name, values, groups in (
        ("eta2_position", pre, "position"),
        ("eta2_position_post", post, "position"),
        ("eta2_token", post, "token"),
    ):
        np.testing.assert_allclose(table[name], reference.eta_squared(values, truth[groups]), rtol=1e-5)
    information = reference.firing_information(pre, truth["position"])
    np.testing.assert_allclose(table["position_mi"], information, atol=1e-10)
    for level in QUANTILES:
        wrong = np.abs(table[f"q{level:g}"] - reference.order_statistic(pre, level))
        # What lies outside the pilot's widened range has no bin, so its quantile is only between two ends.
        assert (wrong <= 1.01 * table["bin_width"])[table["outside"] == 0].all()
    assert (table["outside"] == 0).mean() > 0.8


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_examples_equal_a_full_sort(run, truth, text, tokenizer, batch_size):
    table = run(batch_size).tables["examples"]
    value, place = reference.top(truth["post"], truth["place"], 5)
    top = table[table["kind"] == "top"]
    assert (top["rank"].to_numpy().reshape(-1, 5) == [1, 2, 3, 4, 5]).all()
    assert (top["value"].to_numpy().reshape(-1, 5) == value).all()
    found = (top["block"] * CONTEXT + top["position"]).to_numpy().reshape(-1, 5)
    assert (found == place).all()
    for row in table.sample(40, random_state=0).itertuples():
        window = text[0][row.block, max(0, row.position - 3) : row.position + 3]
        assert (row.context == window).all()
        assert row.context[row.at] == row.token_id == text[0][row.block, row.position]
        assert row.token == tokenizer.decode([row.token_id])
        assert f"⟦{row.token}⟧" in row.text
        assert row.subset == SUBSETS[text[1][row.block]]


def test_sampled_examples_span_the_range(run, truth):
    """All counted tokens are sampled here, because there are fewer than the sample takes."""
    table = run().tables["examples"]
    sampled = table[table["kind"] == "sample"]
    count = len(truth["post"])
    ranks = [int(0.25 * count), int(0.75 * count)]
    assert (sampled["value"].to_numpy().reshape(-1, 2) == np.sort(truth["post"], axis=0)[ranks].T).all()
    np.testing.assert_allclose(sampled["quantile"].to_numpy().reshape(-1, 2)[0], [0.25, 0.75], atol=1 / count)


def test_tokens_equal_a_loop_over_tokens(run, truth, tokenizer):
    table = run().tables["tokens"]
    expected = reference.by_token(truth["post"], truth["token"])
    assert (table["count"] >= 3).all()
    assert min(count for count, _, _ in expected.values()) < 3
    for (by, layer, neuron), rows in table.groupby(["by", *KEYS]):
        unit = layer * NEURONS + neuron
        assert list(rows["rank"]) == [1, 2, 3, 4]
        best = sorted(
            (entry[1 if by == "mean" else 2][unit] for entry in expected.values() if entry[0] >= 3),
            reverse=True,
        )
        np.testing.assert_allclose(rows[by], best[:4], rtol=1e-5, atol=1e-6)
        for row in rows.itertuples():
            count, mean, largest = expected[row.token_id]
            assert (row.count, row.token) == (count, tokenizer.decode([row.token_id]))
            np.testing.assert_allclose([row.mean, row.max], [mean[unit], largest[unit]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_subsets_equal_the_tokens_of_each(run, truth, batch_size):
    table = run(batch_size).tables["subsets"]
    assert list(table["subset"].unique()) == SUBSETS
    for index, subset in enumerate(SUBSETS):
        own = table[table["subset"] == subset]
        values = truth["pre"][truth["subset"] == index]
        assert (own["count"] == len(values)).all()
        check_moments(own, values)
        median = reference.order_statistic(values, 0.5)
        assert np.isclose(own["q0.5"], median, atol=0.3).mean() > 0.9


def test_positions_equal_a_loop_over_positions(run, truth):
    results = run()
    table = results.tables["positions"]
    assert len(table) == 10
    assert (np.diff(table["eta2_position"]) <= 0).all()
    assert table["eta2_position"].iloc[0] == results.tables["neurons"]["eta2_position"].max()
    for row in table.itertuples():
        unit = row.layer * NEURONS + row.neuron
        assert np.isnan(row.mean[0])
        for position in range(1, CONTEXT):
            values = truth["pre"][truth["position"] == position][:, unit]
            assert row.mean[position] == pytest.approx(values.mean(), abs=1e-5)
            assert row.sparsity[position] == pytest.approx((values > 0).mean(), abs=1e-6)
        around = [
            truth["pre"][truth["position"] == position][:, unit] - row.mean[position]
            for position in range(1, CONTEXT)
        ]
        assert row.sd == pytest.approx(np.concatenate(around).std(), abs=1e-5)


def test_published_definitions_are_columns_of_their_own(run, truth):
    results = run()
    table = results.tables["neurons"]
    expected = reference.published(truth["pre"])
    for name in ("mean", "var", "skew", "kurt", "sparsity"):
        np.testing.assert_allclose(table[f"{name}_paper"], expected[name], rtol=1e-8, atol=1e-9)
    assert (table["sparsity_paper"] >= table["sparsity"]).all()
    assert results.scalars["sparsity/paper_minus_exact"] > 0
    check_moments(table, truth["pre"])


def test_nothing_is_left_out_where_no_token_is_excluded(run, text):
    table = run(exclude=Exclude.none).tables["neurons"]
    check_moments(table, captured(text, Site.mlp_pre))


def test_batches_change_nothing_but_rounding(run):
    one, other = run(1), run(64)
    for name, table in one.tables.items():
        if name in ("examples", "tokens"):
            continue
        for column in table.select_dtypes("number"):
            np.testing.assert_allclose(
                table[column], other.tables[name][column], rtol=1e-4, atol=1e-5, err_msg=f"{name} {column}"
            )
    columns = ["layer", "neuron", "kind", "rank", "block", "position", "value", "text"]
    assert one.tables["examples"][columns].equals(other.tables["examples"][columns])
    maxima = lambda results: results.tables["tokens"].query("by == 'max'").drop(columns="mean")
    assert maxima(one).equals(maxima(other))


def test_ties_of_a_relu_are_broken_by_place(run, text, truth):
    """A neuron that never fires is 0 at every token, and a rare one at most of them."""
    network = gpt2("relu")
    with torch.no_grad():
        network.transformer.h[0].mlp.c_fc.bias[:2] = torch.tensor([-100.0, -5.0])
    post = captured(text, Site.mlp_post, network)[truth["kept"]]
    value, place = reference.top(post, truth["place"], 8)
    assert (value[0] == 0).all()
    for batch_size in (3, 64):
        table = run(batch_size, network=network, top_examples=8).tables["examples"]
        top = table[table["kind"] == "top"]
        assert (top["value"].to_numpy().reshape(-1, 8) == value).all()
        found = (top["block"] * CONTEXT + top["position"]).to_numpy().reshape(-1, 8)
        assert (found == place).all()


def test_bfloat16_activations_are_added_in_float32(run, text, truth):
    model = gpt2(dtype=torch.bfloat16)
    values = captured(text, Site.mlp_pre, model)[truth["kept"]]
    # The model rounds differently for other batch shapes, so both read all blocks at once.
    check_moments(run(64, network=gpt2(dtype=torch.bfloat16)).tables["neurons"], values, tolerance=2e-2)


def test_broken_and_constant_neurons_are_reported_and_spoil_no_other(run, truth):
    model = gpt2()
    with torch.no_grad():
        block = model.transformer.h[1].mlp.c_fc
        block.weight[:, 3] = 0
        block.bias[3] = -1.5
        block.bias[4] = torch.nan
        model.transformer.h[1].mlp.c_proj.weight[4] = 0
    results = run(network=model)
    table = results.tables["neurons"]
    constant, broken = table.iloc[NEURONS + 3], table.iloc[NEURONS + 4]
    assert (constant["mean"], constant["var"], constant["sparsity"]) == (-1.5, 0, 0)
    assert np.isnan(constant["kurt"])
    assert np.isnan(constant["eta2_position"])
    assert broken.drop(["model", "layer", "neuron", "valid", "bin_width"]).isna().all()
    assert list(table.index[~table["valid"]]) == [NEURONS + 3, NEURONS + 4]
    assert results.scalars["neurons/invalid"] == 2
    check_moments(table.iloc[:NEURONS], truth["pre"][:, :NEURONS])
    assert not (
        (results.tables["examples"]["layer"] == 1) & (results.tables["examples"]["neuron"] == 4)
    ).any()


def test_chosen_layers_and_neurons_have_the_rows_of_the_whole(run):
    whole = run().tables
    for settings, chosen in (
        ({"layers": [1]}, [(1, neuron) for neuron in range(NEURONS)]),
        ({"neurons": ["L1.3", "L0.12", "L0.2"]}, [(0, 2), (0, 12), (1, 3)]),
    ):
        tables = run(**settings).tables
        assert list(tables["neurons"][KEYS].itertuples(index=False, name=None)) == chosen
        for name in ("neurons", "examples", "tokens", "subsets"):
            expected = whole[name].set_index(KEYS).loc[chosen].sort_index(kind="stable")
            found = tables[name].set_index(KEYS).sort_index(kind="stable")
            for column in ("mean", "value", "token_id", "kurt", "eta2_token"):
                if column in found:
                    np.testing.assert_allclose(found[column], expected[column], rtol=1e-5, atol=1e-7)


def test_what_is_not_asked_for_is_not_there(run):
    results = run(subsets=False, top_tokens=0, examples_per_bin=0, paper=False)
    assert set(results.tables) == {"neurons", "examples", "texts", "positions", "histograms"}
    columns = set(results.tables["neurons"])
    assert "eta2_token" not in columns
    assert not any(name.endswith("_paper") for name in columns)
    assert set(results.tables["examples"]["kind"]) == {"top"}
    assert set(results.figures) == {"statistics_by_layer", "neuron_histograms", "position_profiles"}


def test_thinned_histograms_are_a_fixed_choice_and_leave_moments_exact(run, truth):
    tables = [run(batch_size, histogram_share=0.5).tables for batch_size in (3, 64)]
    counts = [np.stack(table["histograms"]["counts"]).sum(1) for table in tables]
    assert (counts[0] == counts[1]).all()
    assert 0.4 < counts[0][0] / len(truth["pre"]) < 0.6
    for table in tables:
        check_moments(table["neurons"], truth["pre"])


def test_going_on_after_a_stop_gives_the_same_bits(path, in_parts):
    make = lambda: ActivationsAnalysis(ActivationsConfig(**SETTINGS), family(), seed=0)
    in_parts(make, batch_size=7, blocks=BLOCKS, path=path).goes_on(after=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "z"}, "analysis.model is 'z', but family test has a"),
        ({"layers": [0, 2]}, "'a' has no layer 2: its layers are 0 to 1"),
        ({"neurons": ["L1.16"]}, "'a' has no neuron L1.16: the last is L1.15"),
        ({"memory_gb": 0.00001}, "does not hold the sums by token of one layer"),
        ({"memory_gb": 0.00001, "top_tokens": 0}, "does not hold"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(run, settings, message):
    with pytest.raises(UserError, match=message):
        run(**settings)


def test_a_small_budget_reads_the_text_once_for_each_group_of_layers(run, monkeypatch):
    whole = run()
    passes = []
    end = ActivationsAnalysis.end_pass
    monkeypatch.setattr(ActivationsAnalysis, "end_pass", lambda self: passes.append(end(self)))
    parts = run(memory_gb=0.000375)  # sums by token take 0.00001 of 0.000378
    assert len(passes) == LAYERS
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(parts.tables[name], table, check_exact=True, obj=name)
    assert parts.scalars == whole.scalars
