"""The families analysis against brute force over captured activations, and on neurons of known families."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from sklearn.metrics import roc_auc_score
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import CONTEXT, VOCABULARY
from tests.reference import activations as activation_reference
from tests.reference import families as reference
from un_lightning.analyses.families.analysis import FamiliesAnalysis
from un_lightning.config import FamiliesConfig, FamilyCriteria, LabelsConfig, Site
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.labels.decoding import decode_vocabulary
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel


LAYERS, NEURONS, BLOCKS = 2, 16, 96
NEWLINE, END = 199, 0
TOKEN, PREVIOUS, AGAINST, POSITION, DEAD, BROKEN = 3, 4, 5, 6, 7, 8
"""Neurons of the last layer: they copy a letter, the previous token's letter, fire unless there is a letter,
follow the position, never vary, and give NaN."""
STRINGS = [
    " the", "The", "the", " The", " f", "f", "F", "b", " b", "B", " of", "of", " return", "(", ")", "=", "12",
    " and", "ing", "ed", " x", "y", "self", ".", ",", "def", " in", "in", "s", "er",
]  # fmt: skip


@pytest.fixture(scope="module")
def ids(tokenizer):
    """Tokens that the text is made of."""
    texts = decode_vocabulary(tokenizer, VOCABULARY)
    return np.array([texts.index(string) for string in STRINGS if string in texts])


@pytest.fixture(scope="module")
def text(ids):
    """Blocks of two subsets; some documents end inside a block, and newlines are not counted."""
    generator = np.random.default_rng(5)
    tokens = generator.choice(ids, size=(BLOCKS, CONTEXT))
    tokens[:, 0] = END
    tokens[::3, 5] = NEWLINE
    tokens[1::4, 9] = END
    return tokens, generator.integers(2, size=BLOCKS)


@pytest.fixture(scope="module")
def path(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("families") / "blocks"
    subsets = [["code", "prose"][index] for index in text[1]]
    Dataset.from_dict({"tokens": text[0].tolist(), "subset": subsets}).save_to_disk(folder)
    return folder


def documents(tokens):
    """As a store of somebody else's tokens has them."""
    ends = (tokens == END).astype(int)
    ends[:, 0] = 0
    found = np.arange(len(tokens))[:, None] * CONTEXT + ends.cumsum(1) - ends
    found[:, 0] = -1
    return found


def planted(letter, dtype=torch.float32):
    """A random model, in whose last layer a few neurons do what is known.

    Args:
        letter: Which tokens are the letter, [vocabulary].
    """
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=LAYERS, n_embd=16, n_head=2, n_positions=CONTEXT, vocab_size=VOCABULARY, n_inner=NEURONS,
        initializer_range=0.5,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval().to(dtype)
    seen = []
    model.transformer.wte.register_forward_hook(lambda _module, args, _output: seen.append(args[0]))

    def plant(_module, _args, output):
        tokens = seen[-1].numpy()
        before = reference.previous(tokens, documents(tokens))
        now = letter[tokens]
        previous = letter[np.maximum(before, 0)] & (before >= 0)
        output = output.clone()
        switch = lambda on: torch.from_numpy(np.where(on, 3.0, -9.0)).to(output.dtype)
        output[..., TOKEN] = switch(now)
        output[..., PREVIOUS] = switch(previous)
        output[..., AGAINST] = switch(~now)
        output[..., POSITION] = torch.arange(CONTEXT) / 2 - 4
        output[..., DEAD] = 1.5
        output[..., BROKEN] = torch.nan
        return output

    mlp = model.transformer.h[-1].mlp
    mlp.c_fc.register_forward_hook(plant)
    mlp.c_proj.weight.data.zero_()
    mlp.c_proj.register_forward_hook(lambda _module, _args, output: torch.zeros_like(output))
    return model


@pytest.fixture(scope="module")
def letter(tokenizer):
    texts = decode_vocabulary(tokenizer, VOCABULARY)
    return np.array([text.strip().lower() == "f" for text in texts])


@pytest.fixture(scope="module")
def models(letter):
    return {"a": FrozenModel("a", planted(letter)), "b": FrozenModel("b", planted(letter))}


SETTINGS = {"pilot": 4, "min_count": 15, "groups": 6, "top_examples": 3, "before": 3, "after": 2, "shown": 4}


@pytest.fixture(scope="module")
def finished():
    """Analyses by what was asked for, so that no run is made twice."""
    return {}


@pytest.fixture
def run(validate, path, models, finished):
    def analyse(batch_size=7, **settings):
        asked = repr((batch_size, settings))
        if asked not in finished:
            labels = LabelsConfig(unigram_variants=2, unigram_occurrences=15)
            config = FamiliesConfig(**{**SETTINGS, "labels": labels, **settings})
            analysis = FamiliesAnalysis(config, Family("test", models, "a", None), 0)
            validate(analysis, batch_size, BLOCKS, path=path)
            finished[asked] = analysis
        return finished[asked]

    return analyse


@pytest.fixture(scope="module")
def truth(text, models):
    """Counted tokens only: activations of all neurons, and where the tokens are."""
    tokens = torch.from_numpy(text[0])
    found = {}
    for name, site in (("pre", Site.mlp_pre), ("post", Site.mlp_post)):
        layers = models["a"].capture(tokens, site)
        found[name] = torch.cat(layers, dim=2).flatten(0, 1).numpy()
    kept = ~np.isin(text[0].ravel(), [END, NEWLINE])
    found = {name: values[kept] for name, values in found.items()}
    places = np.flatnonzero(kept)
    return found | {"kept": kept, "place": places, "position": places % CONTEXT}


def every_label(analysis, text, truth):
    """Labels of all counted tokens, looked up token by token."""
    tokens, subset = text
    matrix = analysis.labels.token.matrix.numpy()
    flat, before = tokens.ravel()[truth["kept"]], reference.previous(tokens, documents(tokens)).ravel()
    before = before[truth["kept"]]
    previous = matrix[np.maximum(before, 0)] & (before >= 0)[:, None]
    batch = Batch(
        torch.from_numpy(tokens),
        torch.from_numpy(truth["kept"].reshape(tokens.shape)),
        torch.from_numpy(np.flatnonzero(~truth["kept"])),
        torch.from_numpy(documents(tokens)),
        torch.from_numpy(subset),
        torch.arange(len(tokens)),
        int(truth["kept"].sum()),
    )
    context = [part(batch).numpy()[truth["kept"]] for part in analysis.labels.context]
    return np.concatenate([matrix[flat], previous, *context], axis=1)


UNITS = np.setdiff1d(np.arange(LAYERS * NEURONS), NEURONS + np.array([DEAD, BROKEN]))


@pytest.mark.parametrize("batch_size", [1, 7, 200])
def test_every_label_of_every_neuron_equals_group_variances(run, text, truth, batch_size):
    analysis = run(batch_size)
    labels = every_label(analysis, text, truth)
    counts = labels.sum(0)
    common = (counts >= 15) & (len(labels) - counts >= 15)
    assert 20 < common.sum() < len(common)
    found = analysis.findings["a"]
    assert (found.labels.count.numpy() == counts).all()
    corr = found.correlations(analysis.models["a"].pilot["post"], 15, slice(None)).numpy()
    assert np.isnan(corr[~common]).all()
    assert np.isnan(np.delete(corr, UNITS, axis=1)).all()
    expected = reference.reduction_in_variance(truth["post"][:, UNITS], labels[:, common])
    # float32 sums of a thousand tokens
    np.testing.assert_allclose(np.square(corr[common][:, UNITS]), expected, atol=2e-6)
    sign = np.sign(reference.difference(truth["post"][:, UNITS], labels[:, common]))
    clear = expected > 1e-6
    assert (np.sign(corr[common][:, UNITS]) == sign)[clear].all()


@pytest.mark.parametrize("batch_size", [1, 200])
def test_the_leading_labels_are_measured(run, text, truth, batch_size):
    analysis = run(batch_size)
    labels = every_label(analysis, text, truth)
    table = analysis.results.tables["best_labels"]
    measured = table[table["auroc"].notna()]
    assert (measured.groupby(["layer", "neuron"]).size() <= 3).all()
    assert len(measured) >= 2 * len(UNITS)
    names = analysis.labels.names
    groups = analysis._data().groups(6).numpy()[truth["place"] // CONTEXT]
    p = {}
    for row in measured.sample(25, random_state=1).itertuples():
        unit, having = row.layer * NEURONS + row.neuron, labels[:, names.index(row.label)]
        auroc = roc_auc_score(having, truth["pre"][:, unit])
        assert abs(row.auroc - auroc) <= row.auroc_error + 1e-12
        sign = -1 if row.corr < 0 else 1
        assert row.f1 <= reference.f1(sign * truth["pre"][:, unit], having) + 1e-12
        decided = sign * truth["pre"][:, unit] >= sign * row.f1_threshold
        again = 2 * (decided & having).sum() / (decided.sum() + having.sum())
        assert row.f1 == pytest.approx(again, abs=0.02)  # the edge itself rounds
        if row.vr < 0.999:
            error = reference.jackknife(truth["post"][:, unit], having, groups)
            low = max(0, np.sqrt(row.vr) - 2.5705818 * error) ** 2  # Student's t with 5 degrees of freedom
            assert row.vr_low == pytest.approx(low, abs=1e-4)
            p[row.Index] = error
    assert p
    assert (measured["q"].fillna(1) >= measured["p"].fillna(1)).all()


def test_histograms_with_and_without_the_best_label_are_counts(run, text, truth):
    analysis = run()
    labels, names = every_label(analysis, text, truth), analysis.labels.names
    table = analysis.results.tables["histograms"]
    best = analysis.results.tables["neurons"].set_index(["layer", "neuron"])["label"]
    assert len(table) >= 0.9 * len(UNITS)
    for row in table.itertuples():
        assert row.label == best[row.layer, row.neuron]
        having = labels[:, names.index(row.label)]
        values = truth["pre"][:, row.layer * NEURONS + row.neuron].astype(np.float64)
        edges = np.linspace(row.low, row.high, len(row.having) - 1)
        for found, chosen in ((row.having, having), (row.lacking, ~having)):
            assert found.sum() == chosen.sum()
            wanted = np.histogram(values[chosen], [-np.inf, *edges, np.inf])[0]
            # Places in bins are float32, about 1e-5 of a bin for places up to 256: within ten times that of
            # an edge a value may be on either side.
            near = np.abs(values[chosen][:, None] - edges) < 1e-4 * (edges[1] - edges[0])
            assert (np.abs(np.cumsum(found - wanted))[:-1] <= near.sum(0)).all()


def neuron(analysis, index):
    table = analysis.results.tables["neurons"]
    return table[(table["layer"] == LAYERS - 1) & (table["neuron"] == index)].iloc[0]


def test_planted_neurons_are_found_and_named(run):
    analysis = run()
    copy, before, against, position = (neuron(analysis, i) for i in (TOKEN, PREVIOUS, AGAINST, POSITION))
    for row, family, label in (
        (copy, "alphabet", "letter/f"),
        (before, "previous", "previous/letter/f"),
        (against, "alphabet", "letter/f"),
    ):
        assert (row["family"], row["label"]) == (family, label)
        assert row["vr"] == pytest.approx(1, abs=1e-5)
        assert row["f1"] == 1
        assert row["significant"]
    assert copy["auroc"] == before["auroc"] == 1
    assert against["corr"] < 0
    assert against["auroc"] == 0
    assert position["family"] == "position"
    assert position["eta2_position"] == pytest.approx(1, abs=1e-6)
    assert position["kurt"] < 2
    assert copy["eta2_token"] == pytest.approx(1, abs=1e-5)
    assert before["eta2_previous"] == pytest.approx(1, abs=1e-5)
    for index in (DEAD, BROKEN):
        assert neuron(analysis, index)["family"] == "invalid"
        assert np.isnan(neuron(analysis, index)["vr"])
    ranked = analysis.results.tables["label_neurons"].query("label == 'letter/f' and rank <= 2")
    assert set(zip(ranked["layer"], ranked["neuron"], strict=True)) == {(1, TOKEN), (1, AGAINST)}


def test_positions_and_the_bound_by_token_equal_loops(run, text, truth):
    table = run().results.tables["neurons"].iloc[UNITS]
    tokens = text[0].ravel()[truth["kept"]]
    for name, values, groups in (
        ("eta2_position", truth["pre"], truth["position"]),
        ("eta2_token", truth["post"], tokens),
    ):
        expected = activation_reference.eta_squared(values[:, UNITS], groups)
        np.testing.assert_allclose(table[name], expected, rtol=1e-4)
    around = [
        truth["pre"][truth["position"] == p][:, UNITS]
        - truth["pre"][truth["position"] == p][:, UNITS].mean(0)
        for p in np.unique(truth["position"])
    ]
    expected = np.square(np.concatenate(around)).mean(0)
    np.testing.assert_allclose(table["within_position_sd"] ** 2, expected, rtol=1e-3, atol=1e-5)
    expected = activation_reference.firing_information(truth["pre"][:, UNITS], truth["position"])
    np.testing.assert_allclose(table["position_mi"], expected, atol=1e-10)
    largest = table[["vocabulary_vr", "unigram_vr", "alphabet_vr"]].max(axis=1)
    assert (largest <= table["eta2_token"] + 1e-6).all()


def test_examples_show_the_label(run, text):
    table = run().results.tables["examples"]
    own = table[(table["neuron"] == TOKEN) & (table["layer"] == 1)]
    assert list(own["rank"]) == [1, 2, 3]
    assert own["token"].str.strip().str.lower().eq("f").all()
    assert all(f"⟦{row.token}⟧" in row.text for row in own.itertuples())


def test_batches_change_nothing_but_rounding(run):
    one, other = run(1).results, run(200).results
    assert one.tables.keys() == other.tables.keys()
    for name in ("counts", "labels", "positions"):
        for column in one.tables[name].select_dtypes("number"):
            # A spread is the root of a difference, so it is its square that rounding changes little.
            first, second = (t.tables[name][column] ** (2 if column == "sd" else 1) for t in (one, other))
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5, err_msg=column)
    columns = ["vr", "auroc", "f1", "kurt", "eta2_token", "position_mi", "vr_low"]
    np.testing.assert_allclose(
        one.tables["neurons"][columns], other.tables["neurons"][columns], rtol=1e-3, atol=1e-4
    )
    assert one.tables["neurons"]["family"].equals(other.tables["neurons"]["family"])


def test_several_models_and_one_reading(run):
    analysis = run(models=["a", "b"], leading=0)
    results = analysis.results
    table = results.tables["neurons"]
    assert list(table["model"].unique()) == ["a", "b"]
    assert table["auroc"].isna().all()
    one, two = (own.drop(columns="model").reset_index(drop=True) for _, own in table.groupby("model"))
    pd.testing.assert_frame_equal(one, two)
    assert "families_by_layer-a" in results.figures
    assert "top_neurons-a" not in results.figures
    np.testing.assert_allclose(one["vr"], run().results.tables["neurons"]["vr"])


def test_universal_neurons_are_counted_apart(run, tmp_path):
    table = pd.DataFrame({"model": "a", "layer": np.repeat([0, 1], NEURONS), "neuron": [*range(NEURONS)] * 2})
    table["excess_corr"] = np.where(table["neuron"] < 5, 0.7, 0.1)
    table.to_parquet(tmp_path / "neurons.parquet")
    counts = run(tables=str(tmp_path / "neurons.parquet")).results.tables["counts"]
    own = counts[(counts["layer"] == 1) & (counts["family"] == "previous")].set_index("group")
    assert own["count"].to_dict()["universal"] >= 1
    assert own.loc["universal", "total"] == 5
    whole = counts[(counts["layer"] == -1) & (counts["group"] == "all")]
    assert whole["count"].sum() == whole["total"].iloc[0] == len(UNITS)
    assert (whole["low"] <= whole["share"]).all()
    assert (whole["share"] <= whole["high"]).all()


def test_tables_of_other_models_are_refused(models, tmp_path):
    pd.DataFrame({"model": "z", "layer": [0], "neuron": [0], "excess_corr": [0.1]}).to_parquet(
        tmp_path / "z.parquet"
    )
    config = FamiliesConfig(tables=str(tmp_path / "z.parquet"))
    with pytest.raises(UserError, match="holds the models z, but a is read"):
        FamiliesAnalysis(config, Family("test", models, "a", None), 0)
    with pytest.raises(UserError, match="holds 'c', but family test has a, b"):
        FamiliesAnalysis(FamiliesConfig(models=["c"]), Family("test", models, "a", None), 0)


def test_what_does_not_fit_is_refused(validate, path, models):
    analysis = FamiliesAnalysis(FamiliesConfig(memory_gb=1e-4), Family("test", models, "a", None), 0)
    with pytest.raises(UserError, match=r"take .* GB .*analysis\.layers="):
        validate(analysis, 7, BLOCKS, path=path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.0}, r"analysis\.alpha"),
        ({"min_count": 0}, r"analysis\.min_count is 0, but must be at least 1"),
        ({"tables": 3}, r"analysis\.tables is 3"),
        ({"layers": [-1]}, "negative layer"),
        ({"roles": 1.5}, r"analysis\.roles"),
    ],
)
def test_mistakes_in_the_config(settings, message):
    with pytest.raises(ValueError, match=message):
        FamiliesConfig(**settings)
    with pytest.raises(ValueError, match=r"analysis\.criteria\.unigram"):
        FamilyCriteria(unigram=1.5)
