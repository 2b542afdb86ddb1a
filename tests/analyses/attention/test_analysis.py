"""The attention analysis against brute force, with a planted neuron, on two ranks and after a stop."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from tests.analyses.conftest import CONTEXT, VOCABULARY
from tests.reference.attention import Layer, layer_norm
from un_lightning.analyses.attention.analysis import AttentionAnalysis
from un_lightning.config import AttentionConfig
from un_lightning.errors import UserError
from un_lightning.models.attention import read_attention
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel
from un_lightning.stats.bos_scores import query_directions


LAYERS, WIDTH, NEURONS, HEADS = 3, 16, 10, 2
PLANTED = (0, 4, 2, 1)
"""Layer and neuron, layer and head."""
FIRST = 5


def gpt2(seed=0, **changes):
    torch.manual_seed(seed)
    config = GPT2Config(
        **{
            **{"n_layer": LAYERS, "n_embd": WIDTH, "n_head": HEADS, "n_positions": 32, "n_inner": NEURONS},
            **{"vocab_size": VOCABULARY, **changes},
        }
    )
    model = GPT2LMHeadModel(config).double().eval()
    for weight in model.parameters():
        weight.data.add_(0.25 * torch.randn_like(weight))
    return model.requires_grad_(False)


def residuals(model, tokens):
    """What each layer reads, and the neurons' activations, from hooks of the test's own."""
    activations, handles = [], []
    for block in model.transformer.h:
        hook = lambda _module, args: activations.append(args[0])
        handles.append(block.mlp.c_proj.register_forward_pre_hook(hook))
    with torch.no_grad():
        states = model(torch.as_tensor(tokens), output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    return [state.numpy() for state in states[:-1]], [own.numpy() for own in activations]


@pytest.fixture(scope="module")
def model(tokens):
    """A random model in which one neuron writes what makes a head look at BOS."""
    model = gpt2()
    layer, neuron, head_layer, head = PLANTED
    model.transformer.h[layer].mlp.c_proj.weight.data[neuron] = 0
    for _ in range(3):  # what the head reads at BOS depends a little on the neuron itself
        states, _ = residuals(model, tokens[:4])
        own = read_attention("a", model)[head_layer]
        normal = layer_norm(states[head_layer], 1, 0, own.eps)
        shift = torch.as_tensor(normal[0, 0] - normal[:, 1:].mean((0, 1)))
        direction = query_directions(own.W_Q, torch.einsum("d,hde->he", shift, own.W_K))[head]
        model.transformer.h[layer].mlp.c_proj.weight.data[neuron] = 3 * direction / direction.norm()
    return model


def family(model, tokenizer):
    return Family("test", {"a": FrozenModel("a", model)}, "a", tokenizer)


def config(**changes):
    return AttentionConfig(**{"first": FIRST, "pilot": 4, "groups": 3, "random_directions": 64, **changes})


PAIRS = ["L0.4>L2.H1", "L1.7-L2.H0", "L0.0-L1.H1"]
SCREENS = ["L0>L2.H1", "L1-L2.H0"]


@pytest.fixture(scope="module")
def make(model, tokenizer):
    return lambda **changes: AttentionAnalysis(config(**changes), family(model, tokenizer), seed=0)


@pytest.fixture
def results(make, validate):
    return lambda batch_size=8, **changes: validate(make(**changes), batch_size)


def truth(model, tokens, pair):
    """Activation, changes of attention and length, for every counted destination, one at a time."""
    states, activations = residuals(model, tokens)
    layer, neuron, head_layer, head = pair
    reads = Layer(model.state_dict(), head_layer, HEADS, model.config.layer_norm_epsilon)
    writes = Layer(model.state_dict(), layer, HEADS, model.config.layer_norm_epsilon)
    rows = []
    for block in range(len(tokens)):
        for place in range(FIRST, CONTEXT):
            if tokens[block, place] in (0, 199):
                continue
            value = activations[layer][block, place, neuron]
            own = states[head_layer][block]
            bos, norm = reads.seen(own, head, place, 0 * own[place])
            cut_bos, cut_norm = reads.seen(own, head, place, value * writes.w_out[neuron])
            rows.append((value, bos - cut_bos, (norm - cut_norm) / norm, bos, norm))
    return np.array(rows)


@pytest.mark.parametrize("batch_size", [3, 40])
def test_pairs_match_one_position_at_a_time(results, model, tokens, batch_size):
    found = results(batch_size, pairs=PAIRS, screen_tokens=0).tables["pairs"]
    for index, pair in enumerate([(0, 4, 2, 1), (1, 7, 2, 0), (0, 0, 1, 1)]):
        wanted, row = truth(model, tokens, pair), found.iloc[index]
        assert tuple(row[["layer", "neuron", "head_layer", "head"]]) == pair
        assert (row["tokens"], row["sampled"]) == (len(wanted), len(wanted))
        names = ("mean_activation", "mean_bos_change", "mean_norm_change", "bos_attention", "output_norm")
        for column, name in enumerate(names):
            assert row[name] == pytest.approx(wanted[:, column].mean(), rel=1e-8), name
        for first, second, name in ((0, 1, "activation_bos_change"), (1, 2, "bos_change_norm_change")):
            one, two = wanted[:, first], wanted[:, second]
            assert row[f"pearson_{name}"] == pytest.approx(np.corrcoef(one, two)[0, 1], rel=1e-8)
            assert row[f"spearman_{name}"] == pytest.approx(stats.spearmanr(one, two).statistic, rel=1e-8)
            assert row[f"slope_{name}"] == pytest.approx(np.polyfit(one, two, 1)[0], rel=1e-8)
            assert row[f"pearson_{name}_low"] < row[f"pearson_{name}"] < row[f"pearson_{name}_high"]


def test_heads_and_scores_match_brute_force(results, model, tokens):
    found = results(pairs=PAIRS, screen_tokens=0).tables
    states, _ = residuals(model, tokens)
    counted = ~np.isin(tokens, [0, 199])
    for row in found["heads"].itertuples():
        reads = Layer(model.state_dict(), row.layer, HEADS, model.config.layer_norm_epsilon)
        patterns = np.stack([reads.pattern(own, row.head)[:, 0] for own in states[row.layer]])
        assert row.bos_attention == pytest.approx(patterns[counted].mean(), rel=1e-9)
        lengths = reads.written(reads.values(states[row.layer], row.head), row.head)
        assert row.value_ratio == pytest.approx(lengths[counted].mean() / lengths[0, 0], rel=1e-9)
    for row in found["scores"].sample(20, random_state=0).itertuples():
        reads = Layer(model.state_dict(), row.head_layer, HEADS, model.config.layer_norm_epsilon)
        writes = Layer(model.state_dict(), row.layer, HEADS, model.config.layer_norm_epsilon)
        normal = layer_norm(states[row.head_layer], 1, 0, reads.eps)
        typical = normal[counted].mean(0)
        wanted = reads.score(normal[0, 0], typical, writes.w_out[row.neuron], row.head)
        assert (row.score, row.score_shifted) == pytest.approx(wanted, rel=1e-8)
    assert (found["scores"]["layer"] < found["scores"]["head_layer"]).all()


def test_a_planted_neuron_has_the_top_score_and_its_path_shows_it(results):
    found = results(screen_tokens=0, top_pairs=1)
    own = found.tables["scores"].query("head_layer == 2 and head == 1")
    best = own[own["rank"] == 1].iloc[0]
    assert (best["layer"], best["neuron"]) == PLANTED[:2]
    runner_up = own[own["rank"] == 2].iloc[0]
    assert best["score_shifted"] > 1.5 * runner_up["score_shifted"] > 0
    pair = found.tables["pairs"].iloc[0]
    assert tuple(pair[["layer", "neuron", "head_layer", "head"]]) == PLANTED  # chosen without being named
    assert pair["pearson_activation_bos_change"] > 0.8
    assert pair["slope_activation_bos_change"] > 0


def test_the_opposite_write_turns_the_sign(model, tokenizer, validate, tokens):
    turned = gpt2()
    turned.load_state_dict(model.state_dict())
    layer, neuron, head_layer, head = PLANTED
    turned.transformer.h[layer].mlp.c_proj.weight.data[neuron] *= -1
    found = validate(AttentionAnalysis(config(pairs=["L0.4>L2.H1"]), family(turned, tokenizer), 0))
    pair = found.tables["pairs"].iloc[0]
    assert pair["score_shifted"] < 0
    assert pair["slope_activation_bos_change"] < 0
    own = found.tables["scores"].query("head_layer == @head_layer and head == @head and rank == -1").iloc[0]
    assert (own["layer"], own["neuron"]) == (layer, neuron)


def test_screening_matches_cutting_each_neuron(results, model, tokens):
    """All destinations are screened here, so what is found of a layer is what pairs would find."""
    found = results(pairs=PAIRS, screen=SCREENS, screen_tokens=100_000).tables["screening"]
    assert len(found) == 2 * NEURONS
    for layer, neuron, head_layer, head in ((0, 4, 2, 1), (0, 9, 2, 1), (1, 3, 2, 0)):
        wanted = truth(model, tokens, (layer, neuron, head_layer, head))
        row = found.query(
            "layer == @layer and neuron == @neuron and head_layer == @head_layer and head == @head"
        ).iloc[0]
        assert row["tokens"] == len(wanted)
        assert row["bos_change"] == pytest.approx(wanted[:, 1].mean(), rel=1e-8)
        assert row["bos_change_absolute"] == pytest.approx(np.abs(wanted[:, 1]).mean(), rel=1e-8)
        assert row["slope"] == pytest.approx(np.polyfit(wanted[:, 0], wanted[:, 1], 1)[0], rel=1e-7)


def test_a_bounded_sample_is_the_same_for_any_batches(results):
    one, two = (results(batch_size, pairs=PAIRS, sample=60, screen_tokens=30) for batch_size in (3, 40))
    assert 20 < one.tables["pairs"]["sampled"].iloc[0] <= 60 < one.tables["pairs"]["tokens"].iloc[0]
    for name in ("tokens", "screening", "pairs"):
        pd.testing.assert_frame_equal(one.tables[name], two.tables[name], rtol=1e-7, atol=1e-12)


def test_two_ranks_and_a_stop_change_nothing(make, in_parts):
    parts = in_parts(lambda: make(pairs=PAIRS, screen=SCREENS, screen_tokens=50))
    parts.ranks_add_up(rtol=1e-10, atol=1e-12)
    parts.goes_on(after=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": ["L0.10>L2.H1"]}, "no neuron L0.10: the last is L0.9"),
        ({"pairs": ["L0.4>L2.H2"]}, r"no head L2.H2: the last is L2.H1"),
        ({"pairs": ["L0.4>L3.H0"]}, "no layer 3: its layers are 0 to 2"),
        ({"pairs": ["L2.4>L2.H0"]}, "write after the heads of layer 2 read"),
        ({"pairs": ["L0.4>L2.H1", "L0.4-L2.H1"]}, "twice"),
        ({"screen": ["L1>L1.H0"]}, "write after"),
        ({"screen": ["L0>L2.H9"]}, "no head L2.H9"),
        ({"model": "z"}, "analysis.model is 'z'"),
    ],
)
def test_what_the_model_lacks_is_refused_at_once(make, changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": []}, "analysis.pairs is empty"),
        ({"pairs": ["L0.4"]}, r"holds 'L0.4'.*L1.217-L3.H2"),
        ({"screen": []}, "analysis.screen is empty"),
        ({"screen": ["L0.4>L2.H1"]}, "analysis.screen holds"),
        ({"first": 0}, "position 0 is the BOS"),
    ],
)
def test_mistakes_in_the_config(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_a_rotary_model_is_refused(tokenizer):
    settings = GPTNeoXConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=VOCABULARY,
    )
    with pytest.raises(UserError, match="'gpt_neox'.*wrong numbers"):
        AttentionAnalysis(config(), family(GPTNeoXForCausalLM(settings).eval(), tokenizer), 0)


def test_positions_beyond_the_text_are_refused(results):
    with pytest.raises(UserError, match="blocks end at position 15"):
        results(first=16)
