"""The correlation analysis on models whose answer is known."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import VOCABULARY
from tests.reference import correlation as reference
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import CorrelationConfig, Gemm, Pairs, Site
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel


LAYERS, WIDTH, NEURONS = 2, 16, 64


def gpt2(seed, layers=LAYERS, inner=NEURONS):
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            n_layer=layers,
            n_embd=WIDTH,
            n_head=2,
            n_positions=32,
            vocab_size=VOCABULARY,
            n_inner=inner,
            initializer_range=0.3,
        )
    )
    return model.eval()


def family(**models):
    frozen = {
        name: FrozenModel(name, model, None if isinstance(model, GPT2LMHeadModel) else "units.*")
        for name, model in models.items()
    }
    return Family("test", frozen, next(iter(models)), None)


def counted(tokens):
    return ~np.isin(tokens, [0, 199])


def captured(model, tokens, site=Site.mlp_post):
    frozen = FrozenModel("reference", model, None if isinstance(model, GPT2LMHeadModel) else "units.*")
    layers = frozen.capture(torch.from_numpy(tokens), site)
    return torch.cat(layers, dim=2).double().numpy()[counted(tokens)]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_neuron_table_equals_brute_force(validate, tokens, batch_size):
    """Models of different width and depth, every batch size, excluded tokens left out."""
    models = {"a": gpt2(0), "b": gpt2(1, layers=3), "c": gpt2(2, inner=40)}
    analysis = CorrelationAnalysis(CorrelationConfig(draws=2), family(**models), seed=0)
    results = validate(analysis, batch_size)
    values = {name: captured(model, tokens) for name, model in models.items()}
    table = results.tables["neurons"].query("model == 'a'")
    corr = np.stack(
        [reference.max_over_partners(reference.correlations(values["a"], values[m])) for m in "bc"]
    )
    for column, expected in (("max", corr.max(0)), ("mean", corr.mean(0)), ("min", corr.min(0))):
        np.testing.assert_allclose(table[f"{column}_corr"], expected, atol=1e-6)
    back = results.tables["neurons"].query("model == 'c'")
    expected = reference.max_over_partners(reference.correlations(values["c"], values["a"]))
    np.testing.assert_allclose(back["mean_corr"], expected, atol=1e-6)
    excess = table["mean_corr"] - table["mean_baseline"]
    np.testing.assert_allclose(table["excess_corr"], excess)
    assert results.scalars["counted_tokens"] == counted(tokens).sum()
    assert results.scalars["universal/count"] == (table["excess_corr"] > 0.5).sum()


def test_a_permuted_copy_is_found_neuron_by_neuron(validate):
    """Its correlation is 1 and the partners are the permutation."""
    original, copy = gpt2(0), gpt2(0)
    permutations = [
        torch.randperm(NEURONS, generator=torch.Generator().manual_seed(s)) for s in range(LAYERS)
    ]
    for block, permutation in zip(copy.transformer.h, permutations, strict=True):
        mlp = block.mlp
        mlp.c_fc.weight.data = mlp.c_fc.weight.data[:, permutation]
        mlp.c_fc.bias.data = mlp.c_fc.bias.data[permutation]
        mlp.c_proj.weight.data = mlp.c_proj.weight.data[permutation]
    analysis = CorrelationAnalysis(CorrelationConfig(), family(a=original, copy=copy), seed=0)
    results = validate(analysis)
    neurons = results.tables["neurons"].query("model == 'a'")
    np.testing.assert_allclose(neurons["max_corr"], 1.0, atol=1e-6)
    assert (neurons["excess_corr"] > 0).all()
    best = results.tables["matches"].query("model == 'a' and rank == 1").sort_values(["layer", "neuron"])
    np.testing.assert_array_equal(best["match_layer"], best["layer"])
    expected = torch.cat([permutation.argsort() for permutation in permutations]).numpy()
    np.testing.assert_array_equal(best["match_neuron"], expected)
    match = results.tables["layer_match"].query("model == 'a'")
    np.testing.assert_allclose(match["fraction"], (match["layer"] == match["match_layer"]).astype(float))
    assert len(match) == LAYERS**2


class Lookup(nn.Module):
    """Units that are a table of the token alone: each unit fires for a few tokens, as real ones do."""

    def __init__(self, rotation=None):
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        tables = torch.randn(2, VOCABULARY, 96, generator=generator)
        # Sparse and heavy-tailed, so that the units are a privileged basis.
        tables = torch.where(tables > 1.2, tables**3, 0.05 * tables)
        if rotation is not None:
            tables[1] = tables[1] @ rotation.T
        self.units = nn.ModuleList(nn.Embedding.from_pretrained(table) for table in tables)

    def forward(self, ids):
        return [layer(ids) for layer in self.units]


def test_a_rotated_layer_falls_to_its_baseline(validate):
    """Rotating a layer keeps all its information and takes away its neurons."""
    rotation = torch.linalg.qr(torch.randn(96, 96, generator=torch.Generator().manual_seed(8)))[0]
    models = {"a": Lookup(), "b": Lookup(rotation)}
    config = CorrelationConfig(site=Site.units, draws=5)
    results = validate(CorrelationAnalysis(config, family(**models), seed=0))
    table = results.tables["neurons"].query("model == 'a'")
    kept, rotated = table.query("layer == 0"), table.query("layer == 1")
    np.testing.assert_allclose(kept["max_corr"], 1.0, atol=1e-6)
    assert kept["universal"].mean() > 0.95  # a unit with a single spike has a high baseline, too
    assert not rotated["universal"].any()
    assert abs(rotated["excess_corr"].mean()) < 0.03  # five draws of a maximum over 192 units


def test_dead_and_broken_neurons_are_reported(validate):
    model, other = gpt2(0), gpt2(1)
    mlp = model.transformer.h[0].mlp
    mlp.c_fc.weight.data[:, 3] = 0  # constant
    mlp.c_fc.bias.data[9] = float("nan")
    mlp.c_proj.weight.data[9] = 0
    model.transformer.h[0].mlp.c_proj.register_forward_pre_hook(
        lambda _module, args: (torch.nan_to_num(args[0]),)
    )
    results = validate(CorrelationAnalysis(CorrelationConfig(), family(a=model, b=other), seed=0))
    table = results.tables["neurons"].query("model == 'a'").reset_index()
    assert table.index[~table["valid"]].tolist() == [3, 9]
    assert table.loc[[3, 9], ["max_corr", "mean_baseline", "excess_corr"]].isna().all(axis=None)
    assert table.drop([3, 9]).loc[:, :"universal"].notna().all(axis=None)
    assert results.scalars["neurons/invalid"] == 2
    matches = results.tables["matches"]
    assert matches.query("model == 'a' and layer == 0 and neuron in [3, 9]").empty
    assert matches.query("other == 'a' and match_layer == 0 and match_neuron in [3, 9]").empty


def test_all_pairs_agree_with_star(validate):
    models = {"a": gpt2(0), "b": gpt2(1), "c": gpt2(2)}
    star = validate(CorrelationAnalysis(CorrelationConfig(), family(**models), seed=0))
    every = validate(CorrelationAnalysis(CorrelationConfig(pairs=Pairs.all), family(**models), seed=0))
    one = star.tables["neurons"].query("model == 'a'").drop(columns="model")
    two = every.tables["neurons"].query("model == 'a'").drop(columns="model")
    np.testing.assert_allclose(one.astype(float), two.astype(float), atol=1e-6)
    assert set(every.tables["matches"].query("model == 'b'")["other"]) == {"a", "c"}


@pytest.mark.parametrize("site", [Site.mlp_pre, Site.mlp_out, Site.attn_z, Site.resid_post])
def test_every_site_can_be_correlated(validate, tokens, site):
    models = {"a": gpt2(0), "b": gpt2(1)}
    results = validate(CorrelationAnalysis(CorrelationConfig(site=site), family(**models), seed=0))
    rho = reference.correlations(*(captured(model, tokens, site) for model in models.values()))
    table = results.tables["neurons"].query("model == 'a'")
    np.testing.assert_allclose(table["max_corr"], reference.max_over_partners(rho), atol=2e-6)


def test_one_model_alone_is_refused():
    with pytest.raises(UserError, match="two models"):
        CorrelationAnalysis(CorrelationConfig(), family(a=gpt2(0)), seed=0)


def test_a_policy_that_counts_nothing_is_refused(validate, tmp_path):
    Dataset.from_dict({"tokens": np.zeros((4, 16), dtype=int).tolist()}).save_to_disk(tmp_path / "empty")
    analysis = CorrelationAnalysis(CorrelationConfig(), family(a=gpt2(0), b=gpt2(1)), seed=0)
    with pytest.raises(UserError, match="no token was counted"):
        validate(analysis, blocks=4, path=tmp_path / "empty")


@pytest.mark.parametrize("gemm", [Gemm.bfloat16, Gemm.tf32])
def test_input_types_of_cuda_are_refused_on_the_cpu(validate, gemm):
    analysis = CorrelationAnalysis(CorrelationConfig(gemm=gemm), family(a=gpt2(0), b=gpt2(1)), seed=0)
    with pytest.raises(UserError, match="needs a CUDA device"):
        validate(analysis)
