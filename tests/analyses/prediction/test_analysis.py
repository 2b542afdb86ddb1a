"""The prediction analysis against brute force, with planted neurons, on two ranks and after a stop."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import BLOCKS, VOCABULARY
from tests.reference import prediction as reference
from tests.reference.weights import cosines, gpt2_processed
from un_lightning.analyses.prediction.analysis import PredictionAnalysis
from un_lightning.config import PredictionConfig, Site
from un_lightning.data.stretches import group_numbers, reading_order
from un_lightning.errors import UserError
from un_lightning.labels import TokenLabels
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel


LAYERS, WIDTH, NEURONS, HEADS = 2, 64, 12, 2
SUPPRESSES, PREDICTS, DIVIDES = (1, 3), (0, 7), (1, 8)
PLANTED = torch.arange(100, 130)
"""Tokens that one neuron lowers and another raises."""
HALF = torch.arange(VOCABULARY) % 2 == 0
"""Tokens that a third neuron tells from the rest."""


@pytest.fixture(scope="module")
def labels():
    """Labels by hand: the planted tokens, the even ones, and two that explain nothing."""
    generator = torch.Generator().manual_seed(5)
    matrix = torch.zeros(VOCABULARY, 4, dtype=torch.bool)
    matrix[PLANTED, 0] = True
    matrix[:, 1] = HALF
    matrix[:, 2] = torch.rand(VOCABULARY, generator=generator) < 0.1
    matrix[7, 3] = True  # one token alone
    return TokenLabels(["test/planted", "test/even", "test/noise", "test/one"], ["test"] * 4, matrix)


ORDER = reading_order(np.arange(BLOCKS), BLOCKS, 0)
GROUPS = np.empty(BLOCKS, dtype=int)
GROUPS[ORDER.blocks] = group_numbers(ORDER, 4)
"""Of each block: a store without documents has a document a block."""


def gpt2(seed=0):
    """A random model with an unembedding of its own that has two directions planted in it."""
    torch.manual_seed(seed)
    config = GPT2Config(
        n_layer=LAYERS, n_embd=WIDTH, n_head=HEADS, n_positions=32, vocab_size=VOCABULARY, n_inner=NEURONS,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).double().eval()
    for weight in model.parameters():
        weight.data.add_(0.2 * torch.randn_like(weight))
    directions = torch.linalg.qr(torch.randn(WIDTH, 3, dtype=torch.float64))[0].T
    directions = directions - directions.mean(1, keepdim=True)
    table = torch.randn(VOCABULARY, WIDTH, dtype=torch.float64)
    table[PLANTED] += 12 * directions[0]
    table[HALF] += 4 * directions[1]
    table[~HALF] -= 4 * directions[1]
    model.lm_head.weight.data = table
    model.transformer.ln_f.weight.data.fill_(1)
    for (layer, neuron), write in (
        (SUPPRESSES, -directions[0]), (PREDICTS, 2 * directions[0]), (DIVIDES, directions[1]),
    ):  # fmt: skip
        model.transformer.h[layer].mlp.c_proj.weight.data[neuron] = write
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def models():
    return {"a": gpt2(0), "b": gpt2(1)}


@pytest.fixture(scope="module")
def make(models, labels, tokenizer):
    """The analysis with the labels of this test."""

    class Labelled(PredictionAnalysis):
        def labels(self):
            return labels

    def build(**changes):
        settings = {
            "variance": 0.05,
            "pilot": 4,
            "groups": 4,
            "random_directions": 500,
            "tile": 999,
            **changes,
        }
        members = {name: FrozenModel(name, model) for name, model in models.items()}
        return Labelled(PredictionConfig(**settings), Family("test", members, "a", tokenizer), seed=0)

    return build


@pytest.fixture
def results(make, validate):
    return lambda batch_size=8, **changes: validate(make(**changes), batch_size)


def processed(model):
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    blocks, _, W_U = gpt2_processed(state, LAYERS, HEADS)
    return np.concatenate([block["w_out"] for block in blocks]), W_U.T


def activations(model, tokens, layer, neuron):
    found = []
    with torch.no_grad():
        handle = model.transformer.h[layer].mlp.c_fc.register_forward_hook(
            lambda _module, _args, output: found.append(output[..., neuron].numpy())
        )
        model(torch.as_tensor(tokens))
    handle.remove()
    return found[0]


def test_moments_and_classes_match_brute_force(results, models, tokens):
    table = results().tables["neurons"]
    counts = np.bincount(tokens[~np.isin(tokens, [0, 199])], minlength=VOCABULARY)
    for name, model in models.items():
        own = table[table["model"] == name]
        truth = reference.vocabulary_moments(*processed(model), counts)
        for kind, prefix in (("cosine", "vocab"), ("logit", "logit")):
            for suffix in ("", "_weighted"):
                columns = [f"{prefix}_{moment}{suffix}" for moment in ("mean", "var", "skew", "kurt")]
                # TransformerLens folds in float32, whatever the model is: its W_U is good to some 1e-7.
                np.testing.assert_allclose(own[columns], truth[kind + suffix], rtol=1e-5, atol=1e-7)
        wanted = [reference.classify(10, 0.05, *row[1:]) for row in truth["cosine"]]
        assert own["class"].tolist() == wanted
        assert {"prediction", "suppression", "partition", "other"} == {*wanted}


def test_planted_neurons_are_classed_and_explained(results, models, labels):
    found = results().tables
    neurons = found["neurons"].query("model == 'a'").set_index(["layer", "neuron"])["class"]
    assert neurons[SUPPRESSES] == "suppression"
    assert neurons[PREDICTS] == "prediction"
    assert neurons[DIVIDES] == "partition"
    table = found["explanations"].set_index(["layer", "neuron", "rank"])
    assert table.loc[(*SUPPRESSES, 1), "label"] == table.loc[(*PREDICTS, 1), "label"] == "test/planted"
    assert table.loc[(*DIVIDES, 1), "label"] == "test/even"
    assert not (found["explanations"]["label"] == "test/one").any()  # one token explains nothing
    directions, rows = processed(models["a"])
    names = ["mean_difference", "welch_t", "variance_reduction", "skew_reduction", "kurt_reduction"]
    for (layer, neuron), label in ((SUPPRESSES, 0), (PREDICTS, 0), (DIVIDES, 1)):
        values = cosines(directions[[layer * NEURONS + neuron]], rows)[0]
        wanted = reference.label_contrast(values, labels.matrix[:, label].numpy())
        row = table.loc[(layer, neuron, 1)]
        np.testing.assert_allclose(row[names].astype(float), wanted, rtol=1e-6)
        assert row["tokens"] == int(labels.matrix[:, label].sum())
    tops = found["tokens"]
    lowered = tops.query("layer == @SUPPRESSES[0] and neuron == @SUPPRESSES[1] and rank < 0")["token"]
    raised = tops.query("layer == @PREDICTS[0] and neuron == @PREDICTS[1] and rank > 0")["token"]
    assert {*lowered, *raised} <= {*PLANTED.tolist()}


@pytest.mark.parametrize("site", [Site.mlp_pre, Site.mlp_post])
def test_what_precedes_a_neurons_tokens_matches_all_pairs(results, make, models, tokens, labels, site, store):
    found = results(site=site, bins=20_000).tables["next_token"]
    # The store knows no documents, so only EOS, which is not counted here, would end one.
    counted, document = ~np.isin(tokens, [0, 199]), np.zeros_like(tokens)
    places = reference.next_tokens(tokens, counted, document)
    block, place, following = (np.array(column) for column in zip(*places, strict=True))
    directions, rows = processed(models["a"])
    for (layer, neuron), label in ((SUPPRESSES, 0), (DIVIDES, 1)):
        values = activations(models["a"], tokens, layer, neuron)[block, place]
        if site is Site.mlp_post:
            values = torch.nn.functional.gelu(torch.as_tensor(values), approximate="tanh").numpy()
        cosine = cosines(directions[[layer * NEURONS + neuron]], rows)[0]
        extreme = np.zeros(VOCABULARY, dtype=bool)
        extreme[np.argsort(cosine)[:50]] = True
        sets = {"label": labels.matrix[:, label].numpy(), "extreme": extreme if label == 0 else cosine > 0}
        for name, members in sets.items():  # noqa: B007 (the query names it)
            inside = members[following]
            row = found.query("layer == @layer and neuron == @neuron and set == @name").iloc[0]
            difference, auroc = reference.separation(values, inside)
            assert (row["tokens"], row["inside"]) == (len(values), inside.sum())
            assert row["set_size"] == members.sum()
            assert row["difference"] == pytest.approx(difference, rel=1e-7)
            # A pair in one bin counts half, whichever is larger.
            assert abs(row["auroc"] - auroc) <= row["auroc_error"] + 1e-12
            assert row["auroc_error"] < 2e-3
            error = reference.jackknife(values, inside, GROUPS[block])
            assert row["high"] - row["low"] == pytest.approx(2 * 1.959964 * error, rel=1e-5)


def test_a_neuron_that_fires_before_its_tokens_is_seen_to(make, validate, models, tokens, labels, tokenizer):
    """The neuron is made to read which token is there, and the text to have a planted token behind some."""
    model = gpt2(0)
    own = tokens.copy()
    trigger = 300
    own[:, 3::4] = trigger
    own[:, 4::4] = np.random.default_rng(0).choice(PLANTED.numpy(), own[:, 4::4].shape)
    states = model(torch.as_tensor(own), output_hidden_states=True).hidden_states[1]
    here = torch.as_tensor(own == trigger)
    here[:, 0] = False
    read = states[here].mean(0) - states[~here].mean(0)
    layer, neuron = SUPPRESSES
    model.transformer.h[layer].mlp.c_fc.weight.data[:, neuron] = 3 * read / read.norm()
    family = Family("test", {"a": FrozenModel("a", model)}, "a", tokenizer)

    class Labelled(PredictionAnalysis):
        def labels(self):
            return labels

    from datasets import Dataset

    folder = "planted_store"
    Dataset.from_dict({"tokens": own.tolist()}).save_to_disk(folder)
    analysis = Labelled(PredictionConfig(variance=0.05, pilot=4), family, 0)
    row = (
        validate(analysis, path=folder)
        .tables["next_token"]
        .query("layer == 1 and neuron == 3 and set == 'label'")
    )
    assert row["auroc"].iloc[0] > 0.9
    assert row["low"].iloc[0] > 0


def test_random_directions_and_trends(results):
    found = results()
    assert found.scalars["vocab_kurt/null"] == pytest.approx(3, abs=0.5)
    assert found.scalars["prediction/null_percent"] < 5
    layers = found.tables["layers"]
    assert len(layers) == 2 * LAYERS
    neurons = found.tables["neurons"]
    for row in layers.to_dict("records"):
        own = neurons[(neurons["model"] == row["model"]) & (neurons["layer"] == row["layer"])]
        assert row["suppression"] == (own["class"] == "suppression").sum()
        assert row["vocab_kurt_p95"] == pytest.approx(np.percentile(own["vocab_kurt"], 95))
    assert {*found.figures} == {"trends_by_layer", "classes_by_layer", "examples", "next_token"}


def test_without_family_and_without_classes(results):
    """Nothing is above such thresholds, so there is nothing to explain and nothing to follow."""
    found = results(family=False, kurtosis=1e9, variance=10.0)
    assert found.tables["neurons"]["model"].unique().tolist() == ["a"]
    assert {*found.tables["neurons"]["class"]} == {"other"}
    for name in ("explanations", "tokens", "next_token"):
        assert len(found.tables[name]) == 0
    assert {*found.figures} == {"trends_by_layer", "classes_by_layer"}


def test_two_ranks_and_a_stop_change_nothing(make, in_parts):
    parts = in_parts(make)
    parts.ranks_add_up(rtol=1e-10, atol=1e-9)
    parts.goes_on(after=2)


def test_mistakes(make):
    with pytest.raises(UserError, match="analysis.model is 'z'"):
        make(model="z")
    for changes, message in (
        ({"kurtosis": -1.0}, "analysis.kurtosis"),
        ({"confidence": 1.0}, "analysis.confidence"),
        ({"site": Site.resid_post}, "mlp_pre or mlp_post"),
        ({"follow": -1}, "analysis.follow"),
    ):
        with pytest.raises(ValueError, match=message):
            PredictionConfig(**changes)
