"""The weights analysis against brute force, on any number of ranks and after a stop."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import CONTEXT, VOCABULARY
from tests.analyses.parts import validate
from tests.reference import weights as reference
from un_lightning.analyses.weights.analysis import WeightsAnalysis
from un_lightning.config import DataConfig, DataSource, Vocabulary, Weights, WeightsConfig
from un_lightning.data.stretches import reading_order
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel


LAYERS, WIDTH, NEURONS, HEADS = 3, 16, 24, 2
PADDED = VOCABULARY + 32
"""Rows of the embedding, the last 32 of which no token uses."""


def gpt2(seed=0):
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=LAYERS, n_embd=WIDTH, n_head=HEADS, n_positions=32, vocab_size=PADDED, n_inner=NEURONS
    )
    model = GPT2LMHeadModel(config)
    for weight in model.parameters():
        weight.data.add_(0.2 * torch.randn_like(weight))
    return model.eval()


@pytest.fixture(scope="module")
def module():
    return gpt2()


@pytest.fixture(scope="module")
def truth(module):
    """Weights by hand in float64, and all layers stacked."""
    state = {name: value.double().numpy() for name, value in module.state_dict().items()}
    blocks, W_E, W_U = reference.gpt2_processed(state, LAYERS, HEADS)
    stacked = {name: np.concatenate([block[name] for block in blocks]) for name in ("w_in", "w_out", "b_in")}
    return blocks, stacked, W_E, W_U


def run(config, model, tokenizer, store, folder):
    """Run the analysis in this process and return it."""
    family = Family("test", {"a": FrozenModel("a", model)}, "a", tokenizer)
    analysis = WeightsAnalysis(config, family, seed=0)
    text = DataConfig(source=DataSource.store, path=str(store), context=CONTEXT, tokens=20 * CONTEXT)
    validate(analysis, analysis.stream(text), folder)
    return analysis


@pytest.fixture(scope="module")
def whole(module, tokenizer, store, tmp_path_factory):
    """One run of everything, for the tests that only look."""
    config = WeightsConfig(top_tokens=5, top_neurons=4, tile=50, token_frequency=True, bins=20)
    return run(config, module, tokenizer, store, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def results(whole):
    return whole.results


@pytest.fixture
def again(whole):
    """An analysis that was not run, and its layers."""
    analysis = WeightsAnalysis(whole.settings, whole.family, seed=0)
    stream = analysis.stream(DataConfig(source=DataSource.store, path="unused", context=CONTEXT))
    stream.tokens = None  # frequencies are known already, and need no store
    return analysis, stream


def test_norms_and_cosines_match_brute_force(results, truth):
    _, stacked, _, W_U = truth
    neurons = results.tables["neurons"]
    w_in, w_out = stacked["w_in"], stacked["w_out"]
    expected = {
        "w_in_norm": np.linalg.norm(w_in, axis=1),
        "input_bias": stacked["b_in"],
        "w_out_norm": np.linalg.norm(w_out, axis=1),
        "in_out_sim": (reference.unit(w_in) * reference.unit(w_out)).sum(1),
        "l2_penalty": (w_in**2).sum(1) + (w_out**2).sum(1),
    }
    table = reference.cosines(w_out, W_U.T[:VOCABULARY])
    for name, values in zip(("mean", "var", "skew", "kurt"), reference.moments(table).T, strict=True):
        expected[f"vocab_{name}"] = values
    for name, values in expected.items():
        np.testing.assert_allclose(neurons[name], values, rtol=2e-4, atol=2e-6, err_msg=name)
    assert neurons[["layer", "neuron"]].to_numpy().tolist() == [
        [layer, neuron] for layer in range(LAYERS) for neuron in range(NEURONS)
    ]


@pytest.mark.parametrize("kind", ["e_in", "u_in", "e_out", "u_out"])
def test_vocabulary_matches_brute_force(results, truth, kind, tokens):
    _, stacked, W_E, W_U = truth
    table, side = kind.split("_")
    rows = (W_E if table == "e" else W_U.T)[:VOCABULARY]
    cosines = reference.cosines(stacked[f"w_{side}"], rows)
    own = results.tables["vocabulary"].query("kind == @kind")
    moments = own[["mean", "var", "skew", "kurt"]].to_numpy()
    np.testing.assert_allclose(moments, reference.moments(cosines), rtol=2e-4, atol=2e-6)
    read = tokens[reading_order(np.arange(len(tokens)), 20, 0).blocks]
    counts = np.bincount(read[~np.isin(read, [0, 199])], minlength=VOCABULARY)
    weighted = own[["mean_weighted", "var_weighted", "skew_weighted", "kurt_weighted"]].to_numpy()
    np.testing.assert_allclose(weighted, reference.moments(cosines, counts), rtol=2e-3, atol=2e-6)
    histogram = np.stack(own["histogram"].to_numpy())
    assert (histogram.sum(1) == VOCABULARY).all()
    near = np.abs(histogram - np.stack([np.histogram(row, 20, (-1, 1))[0] for row in cosines]))
    assert near.sum() <= 2 * len(near)  # a cosine on an edge may fall to either side in float32
    found = results.tables["tokens"].query("kind == @kind and layer == 1 and neuron == 3")
    order = np.argsort(cosines[NEURONS + 3])
    assert found.query("rank > 0")["token"].tolist() == order[::-1][:5].tolist()
    assert found.query("rank < 0")["token"].tolist() == order[:5].tolist()
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, -1, -2, -3, -4, -5]


@pytest.mark.parametrize("kind", ["in_in", "in_out", "out_in", "out_out"])
def test_neighbours_match_brute_force(results, truth, kind):
    _, stacked, _, _ = truth
    mine, theirs = kind.split("_")
    cosines = reference.cosines(stacked[f"w_{mine}"], stacked[f"w_{theirs}"])
    others = np.stack([np.delete(row, index) for index, row in enumerate(cosines)])
    neurons = results.tables["neurons"]
    for name, values in (
        ("max", others.max(1)),
        ("min", others.min(1)),
        ("abs_max", np.abs(others).max(1)),
        ("range", np.ptp(others, axis=1)),
    ):
        np.testing.assert_allclose(neurons[f"{kind}_{name}"], values, atol=3e-5, err_msg=name)
    moments = results.tables["compositions"].query("kind == @kind")[["mean", "var", "skew", "kurt"]]
    np.testing.assert_allclose(moments.to_numpy(), reference.moments(others), rtol=1e-3, atol=1e-5)
    np.fill_diagonal(cosines, -np.inf)
    best = results.tables["neighbours"].query("kind == @kind and rank == 1")
    flat = best["match_layer"] * NEURONS + best["match_neuron"]
    np.testing.assert_array_equal(flat, cosines.argmax(1))


def test_heads_match_explicit_matrices_where_they_can_be_reached(results, truth):
    blocks, _, _, _ = truth
    table = results.tables["heads"]
    assert len(table) == LAYERS * NEURONS * LAYERS * HEADS
    for row in table.sample(60, random_state=0).itertuples():
        block = blocks[row.head_layer]
        expected = reference.head_composition(
            blocks[row.layer]["w_in"][row.neuron],
            blocks[row.layer]["w_out"][row.neuron],
            *(block[f"W_{name}"][row.head] for name in "QKVO"),
        )
        if row.head_layer > row.layer:
            expected[3] = np.nan
        else:
            expected[:3] = np.nan
        found = [row.q_comp, row.k_comp, row.v_comp, row.o_comp]
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_null_is_that_of_random_directions(results, truth):
    _, _, _, W_U = truth
    random = np.random.default_rng(0).normal(size=(500, WIDTH))
    expected = reference.moments(reference.cosines(random, W_U.T[:VOCABULARY]))[:, 3].mean()
    assert results.scalars["vocab_kurt/null"] == pytest.approx(expected, abs=0.1)


def test_every_row_of_the_embedding_counts_on_request(module, truth, tokenizer, store, tmp_path):
    _, stacked, _, W_U = truth
    config = WeightsConfig(vocabulary=Vocabulary.model, neurons=False, attention=False)
    results = run(config, module, tokenizer, store, tmp_path).results
    table = reference.cosines(stacked["w_out"], W_U.T)
    kurtosis = results.tables["neurons"]["vocab_kurt"]
    np.testing.assert_allclose(kurtosis, reference.moments(table)[:, 3], rtol=2e-4)
    assert results.scalars["vocabulary/tokens"] == PADDED
    assert {*results.tables} == {"neurons", "vocabulary", "tokens"}
    assert not any("max" in name for name in results.tables["neurons"])


def test_raw_weights_of_a_silent_neuron(tokenizer, store, tmp_path):
    """Raw weights are the trained ones; a neuron that writes nothing is near to nobody."""
    model = gpt2(1)
    model.transformer.h[1].mlp.c_proj.weight.data[5] = 0
    config = WeightsConfig(weights=Weights.raw, attention=False)
    results = run(config, model, tokenizer, store, tmp_path).results
    neurons = results.tables["neurons"]
    expected = torch.cat([block.mlp.c_fc.weight.norm(dim=0) for block in model.transformer.h])
    np.testing.assert_allclose(neurons["w_in_norm"], expected.detach(), rtol=1e-6)
    row = neurons.query("layer == 1 and neuron == 5").iloc[0]
    assert row["w_out_norm"] == 0
    assert row[["in_out_sim", "vocab_kurt", "out_out_max", "out_in_range"]].isna().all()
    assert np.isfinite(row["in_in_max"])
    assert results.scalars["neurons/invalid"] == 1
    near = results.tables["neighbours"].query("match_layer == 1 and match_neuron == 5")
    assert not near["kind"].isin(["in_out", "out_out"]).any()


def test_two_ranks_find_what_one_does(whole, again):
    """Each rank adds its layers to tensors of its own; the sum over ranks is what one rank has."""
    analysis, stream = again
    ranks = []
    for rank in range(2):
        analysis.begin(whole.known)
        for batch in stream.order[rank::2]:
            analysis.add(batch)
        ranks.append(analysis.found.tensors)
    for name, tensor in whole.found.tensors.items():
        both = ranks[0][name] + ranks[1][name]
        torch.testing.assert_close(both, tensor, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("done", [2, LAYERS])
def test_a_stopped_run_goes_on(whole, again, done, tmp_path):
    """Also where all layers were done and only the report was missing."""
    analysis, stream = again
    analysis.begin(whole.known)
    for batch in stream.order[:done]:
        analysis.add(batch)
    saved = {name: tensor.clone() for name, tensor in analysis.state().items()}
    stream.start = analysis.position = analysis.counted = done
    analysis.continue_from(whole.known, saved)
    validate(analysis, stream, tmp_path)
    assert analysis.counted == LAYERS
    for name, table in whole.results.tables.items():
        flat = table.drop(columns="histogram", errors="ignore")
        assert flat.equals(analysis.results.tables[name].drop(columns="histogram", errors="ignore")), name


def test_an_unknown_model_is_refused(module, tokenizer):
    family = Family("test", {"a": FrozenModel("a", module)}, "a", tokenizer)
    with pytest.raises(UserError, match="analysis.model is 'z'"):
        WeightsAnalysis(WeightsConfig(model="z"), family, seed=0)


def test_figures_and_headline_are_there(results):
    assert {*results.figures} == {
        "norms_by_layer", "vocabulary_by_layer", "neighbours_by_layer", "head_composition"
    }  # fmt: skip
    labels = [label for label, _ in results.headline]
    assert labels[0] == "Neurons of 'a', processed weights"
