"""The entropy analysis against hooked forward passes, with planted neurons, on two ranks and after a stop."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.analyses.conftest import BLOCKS, CONTEXT, VOCABULARY
from tests.reference.interventions import hooked_logits, metrics
from un_lightning.analyses.entropy.analysis import EntropyAnalysis, log_shares
from un_lightning.config import EntropyConfig
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel


LAYERS, WIDTH, NEURONS = 3, 16, 64
PLANTED = 7
"""A neuron of the last layer that writes where the unembedding does not read."""
VALUES = [-0.17, 0.0, 2.0, 5.0]


def gpt2(planted=True):
    """A GPT-2 whose unembedding does not read one direction, into which one neuron writes."""
    config = GPT2Config(
        n_layer=LAYERS, n_embd=WIDTH, n_head=2, n_positions=CONTEXT, vocab_size=VOCABULARY, bos_token_id=0,
        eos_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
        for weight in model.parameters():
            weight.data.add_(0.2 * torch.randn_like(weight))
        null = torch.randn(WIDTH)
    if planted:
        null -= null.mean()  # centring leaves it as it is
        null /= null.norm()
        model.transformer.ln_f.weight.data.fill_(1.0)
        model.transformer.ln_f.bias.data.zero_()  # a bias is not scaled, so scales would change the order
        W_U = model.lm_head.weight.data
        W_U -= (W_U @ null)[:, None] * null
        model.transformer.h[-1].mlp.c_proj.weight.data[PLANTED] = 4 * null
        # Nothing else moves along the direction, so the scale only grows.
        for name, weight in model.named_parameters():
            if name.endswith(("c_proj.weight", "c_proj.bias", "wte.weight", "wpe.weight")):
                keep = weight.data[PLANTED].clone() if name == "transformer.h.2.mlp.c_proj.weight" else None
                weight.data -= (weight.data @ null)[..., None] * null
                if keep is not None:
                    weight.data[PLANTED] = keep
    return model


@pytest.fixture
def make(tokenizer):
    def build(model=None, **changes):
        family = Family("x", {"m": FrozenModel("m", model or gpt2())}, "m", tokenizer)
        settings = {"values": VALUES, "baseline": 2, "pilot": 4, "candidates": 1, "groups": 5, **changes}
        return EntropyAnalysis(EntropyConfig(**settings), family, seed=0)

    return build


def of(results, metric, neuron=PLANTED, column="change"):
    curves = results.tables["curves"]
    own = curves[(curves["metric"] == metric) & (curves["layer"] == 2) & (curves["neuron"] == neuron)]
    return own.sort_values("value")[column].to_numpy()


def test_a_planted_neuron_acts_through_the_scale_alone(make, validate):
    results = validate(make())
    effects = results.tables["effects"].set_index("name")
    planted = effects.loc[f"L2.{PLANTED}"]
    assert {"null_space", "variance"} <= {*planted["chosen_by"].split("+")}
    assert planted["null_fraction"] == pytest.approx(1, abs=1e-5)
    assert planted["total_effect"] > 1e-3
    assert planted["direct_effect"] < 1e-6  # rounding of logits in float32
    assert planted["norm_mediated"] == pytest.approx(1, abs=1e-3)
    assert abs(planted["entropy_change_direct"]) < 1e-6
    ordinary = effects[effects["baseline"]]
    assert len(ordinary) == 2
    assert (ordinary["norm_mediated"] < 0.7).all()


def test_a_planted_neuron_raises_scale_and_entropy_and_keeps_the_order(make, validate):
    results = validate(make())
    for metric in ("scale", "entropy"):
        assert (np.diff(of(results, metric)[1:]) > 0).all()
        assert of(results, metric, column="change_low")[-1] > 0
    assert (of(results, "top_changed") == 0).all()
    assert (of(results, "reciprocal_rank") == 0).all()
    assert {*results.figures} == {"entropy_neurons", "effects"}
    assert "through the norm; entropy at 5" in results.headline[1][0]


@pytest.mark.parametrize("batch_size", [3, 40])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_curves_and_effects_equal_hooked_forward_passes(make, validate, tokens, batch_size, layer):
    """To 2e-5: float32 logits of a few tens carry 1e-6 of themselves."""
    model, neuron = gpt2(planted=False), 3
    analysis = make(model, neurons=[f"L{layer}.{neuron}"], baseline=0)
    results = validate(analysis, batch_size)
    text = torch.from_numpy(tokens)
    counted = (text != 0) & (text != 199)
    both = (counted[:, :-1] & counted[:, 1:]).numpy()
    plain, scale = hooked_logits(model, text, {})
    log_p = log_shares(torch.bincount(text[counted], minlength=VOCABULARY)).float()
    average = lambda values: values[both].mean()
    nominal = metrics(plain, plain, text, log_p.numpy())
    untouched = results.tables["untouched"].set_index("metric")["mean"]
    for name in ("loss", "entropy", "rank", "reciprocal_rank", "kl_frequency"):
        np.testing.assert_allclose(untouched[name], average(nominal[name]), rtol=1e-5, err_msg=name)
    changed = lambda value: {layer: fixed(neuron, value)}
    for place, value in enumerate(VALUES):
        logits, own = hooked_logits(model, text, changed(value))
        for name, wanted in metrics(logits, plain, text, log_p.numpy()).items():
            found = curve(results, layer, neuron, name)[place]
            np.testing.assert_allclose(found, average(wanted), rtol=2e-5, atol=2e-5, err_msg=name)
        found = curve(results, layer, neuron, "scale")[place]
        np.testing.assert_allclose(found, average(own[:, :-1].numpy()), rtol=1e-5)
    effect = results.tables["effects"].iloc[0]
    mean = effect["mean_activation"]
    logits, _ = hooked_logits(model, text, changed(mean))
    direct, _ = hooked_logits(model, text, changed(mean), freeze=scale)
    u = (log_p - log_p.mean()) / (log_p - log_p.mean()).norm()
    restored = logits + ((plain - logits) @ u)[..., None] * u
    total, alone, without = (
        average(metrics(x, plain, text)["loss_change"]) for x in (logits, direct, restored)
    )
    expected = [total, alone, 1 - alone / total, without, 1 - without / total]
    names = ["total_effect", "direct_effect", "norm_mediated", "frequency_effect", "frequency_mediated"]
    # Means of |change| of a hundredth of a nat, of which float32 logits carry 1e-6.
    np.testing.assert_allclose(effect[names].to_numpy(dtype=float), expected, rtol=5e-3, atol=2e-5)


def curve(results, layer, neuron, metric):
    curves = results.tables["curves"]
    own = curves[(curves["metric"] == metric) & (curves["layer"] == layer) & (curves["neuron"] == neuron)]
    return own.sort_values("value")["mean"].to_numpy()


def fixed(neuron, value):
    def change(activation):
        activation = activation.clone()
        activation[:, 1:, neuron] = value  # the first position of each block is spared
        return activation

    return change


def test_the_mean_is_that_of_counted_tokens_of_the_pilot(make, validate, tokens):
    model = gpt2(planted=False)
    results = validate(make(model, neurons=["L1.3"], baseline=0, pilot=BLOCKS))
    text = torch.from_numpy(tokens)
    seen = {}
    hook = lambda _, args: seen.update(post=args[0])
    handle = model.transformer.h[1].mlp.c_proj.register_forward_pre_hook(hook)
    with torch.no_grad():
        model(text)
    handle.remove()
    expected = seen["post"][(text != 0) & (text != 199)][:, 3].double().mean()
    assert results.tables["effects"]["mean_activation"][0] == pytest.approx(float(expected), rel=1e-5)


def test_two_ranks_and_a_stop_change_nothing(make, in_parts):
    parts = in_parts(make)
    parts.ranks_add_up(rtol=1e-5, atol=1e-4)  # other batches, other kernels: float32 rounds differently
    parts.goes_on(after=2)


def test_candidates_come_from_the_last_layers_and_baseline_neurons_are_ordinary(make, validate):
    results = validate(make(layers=1, candidates=2, baseline=5))
    effects, weights = results.tables["effects"], results.tables["candidates"]
    assert {*effects["layer"]} == {2} == {*weights["layer"]}
    assert len(weights) == NEURONS
    assert effects["baseline"].sum() == 5
    again = validate(make(layers=1, candidates=2, baseline=5)).tables["effects"]
    pd.testing.assert_frame_equal(effects, again)
    assert not effects["name"].duplicated().any()


def test_without_frequencies_nothing_is_said_about_them(make, validate):
    results = validate(make(frequency=False))
    assert "frequency_mediated" not in results.tables["effects"]
    assert "kl_frequency" not in {*results.tables["curves"]["metric"]}
    assert results.tables["candidates"]["frequency_cos"].isna().all()


def test_neurons_may_be_named_in_two_ways(make):
    assert make(neurons=["2.1", "L0.20"]).settings.neurons == ["L2.1", "L0.20"]


def test_mistakes(make):
    with pytest.raises(UserError, match="analysis.model is 'z'"):
        EntropyAnalysis(EntropyConfig(model="z"), make().family, 0)
    for neuron, message in (("L3.0", "'m' has no layer 3"), ("L2.64", "'m' has no neuron L2.64")):
        with pytest.raises(UserError, match=message):
            make(neurons=[neuron])
    for changes, message in (
        ({"neurons": []}, "analysis.neurons is empty"),
        ({"neurons": "L2.1"}, "must be a list"),
        ({"neurons": ["two"]}, "named like L3.217"),
        ({"neurons": [2.10]}, "trailing zeros are lost"),
        ({"values": []}, "analysis.values is empty"),
        ({"values": [1.0, 1.0]}, "a value twice"),
        ({"values": [float("nan")]}, "no finite number"),
        ({"groups": 1}, "analysis.groups"),
        ({"confidence": 1.0}, "analysis.confidence"),
        ({"null_directions": 0}, "analysis.null_directions"),
    ):
        with pytest.raises(ValueError, match=message):
            EntropyConfig(**changes)
