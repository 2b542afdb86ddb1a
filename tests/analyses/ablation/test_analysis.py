"""The ablation of sets against hooked forward passes, its random sets, its two ranks, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.analyses.conftest import BLOCKS
from tests.analyses.entropy.test_analysis import gpt2
from tests.reference.interventions import hooked_logits, metrics
from un_lightning.analyses.ablation.analysis import AblationAnalysis
from un_lightning.analyses.ablation.sets import pack_sets, unpack_sets, with_random_sets
from un_lightning.config import AblationConfig, Site, Way
from un_lightning.config.edits import EditKind
from un_lightning.config.registry import runner
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.units import Units


SET = ["L0.3", "L0.5", "L2.1"]
NEURONS = 64


@pytest.fixture(scope="module")
def plain_model():
    return gpt2(planted=False)


@pytest.fixture
def make(tokenizer, plain_model):
    def build(**changes):
        family = Family("x", {"m": FrozenModel("m", plain_model)}, "m", tokenizer)
        settings = {"pilot": BLOCKS, "groups": 5, "draws": 2, **changes}
        return AblationAnalysis(AblationConfig(**settings), family, seed=0)

    return build


@pytest.fixture
def table(tmp_path):
    """A neuron table of another model and this one, in which every eighth neuron is universal."""
    layer, neuron = np.divmod(np.arange(3 * NEURONS), NEURONS)
    excess = np.where(neuron % 8 == 0, 0.9 - neuron / 1000, 0.1)
    own = pd.DataFrame({"model": "m", "layer": layer, "neuron": neuron, "excess_corr": excess})
    own["class"] = np.where(neuron < 3, "prediction", np.where(neuron == 5, "suppression", None))
    path = tmp_path / "neurons.parquet"
    pd.concat([own.assign(model="other"), own]).to_parquet(path)
    return str(path)


def change(results, name, metric, draw=0, value=None):
    table = results.tables["effects"]
    own = table[(table["set"] == name) & (table["metric"] == metric) & (table["draw"] == draw)]
    return float(own["change"].iloc[0] if value is None else own.loc[own["value"] == value, "change"].iloc[0])


def edits(model, text, kind, value):
    """What becomes of the set's activations, by layer, written out."""
    counted = (text != 0) & (text != 199)
    means = {}
    handles = [
        block.mlp.c_proj.register_forward_pre_hook(
            lambda _, args, layer=layer: means.update({layer: args[0][counted].double().mean(0)})
        )
        for layer, block in enumerate(model.transformer.h)
    ]
    with torch.no_grad():
        model(text)
    for handle in handles:
        handle.remove()
    rules = {
        "mean": lambda a, mean: mean.float().expand_as(a),
        "zero": lambda a, _: 0 * a,
        "fix": lambda a, _: 0 * a + value,
        "relu": lambda a, _: a.clamp(min=0),
        "threshold": lambda a, _: a.clamp(max=value),
    }

    def at(layer, units):
        def edit(activation):
            activation = activation.clone()
            activation[:, 1:, units] = rules[kind](activation[:, 1:, units], means[layer][units])
            return activation

        return edit

    return {0: at(0, [3, 5]), 2: at(2, [1])}


@pytest.mark.parametrize("batch_size", [3, 40])
@pytest.mark.parametrize(
    ("kind", "value"), [("mean", None), ("zero", None), ("fix", 1.5), ("relu", None), ("threshold", 0.1)]
)
def test_a_set_in_two_layers_equals_hooked_forward_passes(
    make, validate, tokens, plain_model, kind, value, batch_size
):
    """To 2e-5: float32 logits of a few tens carry 1e-6 of themselves."""
    values = [] if value is None else [value]
    results = validate(make(neurons=SET, edit=EditKind(kind), values=values), batch_size)
    text = torch.from_numpy(tokens)
    counted = (text != 0) & (text != 199)
    both = (counted[:, :-1] & counted[:, 1:]).numpy()
    plain, _ = hooked_logits(plain_model, text, {})
    logits, _ = hooked_logits(plain_model, text, edits(plain_model, text, kind, value))
    wanted, nominal = (metrics(x, plain, text) for x in (logits, plain))
    for name in ("loss", "entropy", "rank", "reciprocal_rank", "kl", "top_changed", "loss_change"):
        expected = (wanted[name] - nominal[name])[both].mean()
        found = change(results, "neurons", name)
        # A rank is a count: a single tie that rounds the other way is one in a few hundred tokens.
        tolerance = 5e-3 if name == "rank" else 2e-5
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=tolerance, err_msg=name)
    assert results.scalars["loss/neurons" + ("" if value is None else f"/{value:g}")] == change(
        results, "neurons", "loss"
    )


def test_universal_neurons_and_families_come_from_a_table(make, validate, table):
    results = validate(make(tables=table, families="class", sets={"mine": ["L1.0", "1.1"]}))
    members = results.tables["sets"]
    own = lambda name: members[(members["set"] == name) & (members["draw"] == 0)]
    assert results.scalars["sets"] == ["class=prediction", "class=suppression", "universal", "mine"]
    assert len(own("universal")) == 24
    assert (own("universal")["neuron"] % 8 == 0).all()
    assert {*own("class=suppression")["neuron"]} == {5}
    assert list(own("mine")["neuron"]) == [0, 1]
    for name in results.scalars["sets"]:
        for draw in (1, 2):
            random = members[(members["set"] == name) & (members["draw"] == draw)]
            assert (random["neuron"] % 8 != 0).all()  # the universal ones are no baseline
            assert random.groupby("layer").size().equals(own(name).groupby("layer").size())
            assert not {*zip(random["layer"], random["neuron"], strict=True)} & {
                *zip(own(name)["layer"], own(name)["neuron"], strict=True)
            }
    first = validate(make(tables=table, top=2, draws=0))
    assert list(first.tables["sets"]["neuron"]) == [0, 0]
    assert first.tables["contrasts"].empty
    assert len(validate(make(tables=table, top=2, draws=0)).figures) == 1


def test_contrasts_are_differences_to_the_mean_of_the_random_sets(make, validate):
    results = validate(make(neurons=SET, draws=3, edit=EditKind.fix, values=[0.0, 4.0]))
    contrasts = results.tables["contrasts"].set_index(["value", "metric"])
    for value in (0.0, 4.0):
        for metric in ("loss", "kl", "entropy"):
            row = contrasts.loc[(value, metric)]
            drawn = [change(results, "neurons", metric, draw, value) for draw in (1, 2, 3)]
            own = change(results, "neurons", metric, 0, value)
            np.testing.assert_allclose(row["random"], np.mean(drawn), rtol=1e-9)
            np.testing.assert_allclose(row["difference"], own - np.mean(drawn), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(row["draws_stderr"], np.std(drawn, ddof=1) / 3**0.5, rtol=1e-9)
            half = (row["difference_high"] - row["difference_low"]) / 2
            from scipy.stats import t

            total = np.hypot(row["text_stderr"], row["draws_stderr"])
            np.testing.assert_allclose(half, t.ppf(0.975, 4) * total, rtol=1e-9)  # five groups


def test_two_ranks_and_a_resumed_run_need_no_table(make, table, in_parts):
    """Sets travel with what rank 0 found, so that only rank 0 reads the table."""
    parts = in_parts(make, whole=make(tables=table, top=6))
    ranks = parts.ranks_add_up(rtol=1e-5, atol=1e-4)  # other batches, other kernels
    assert [(one.name, one.draw) for one in ranks[1].sets] == [("universal", draw) for draw in range(3)]
    parts.goes_on(after=2)


def test_packing_keeps_sets():
    sets = {"ä b": np.array([1, 5, 70]), "c": np.array([9])}
    made = with_random_sets(sets, np.arange(192), Units("m", Site.mlp_post, (64, 64, 64)), 2, 0)
    for one, other in zip(made, unpack_sets(pack_sets(made)), strict=True):
        assert (one.name, one.draw) == (other.name, other.draw)
        assert (one.flat == other.flat).all()


def test_mistakes(make, table, tmp_path, validate):
    with pytest.raises(UserError, match="'m' has no neuron L0.64"):
        make(neurons=["L0.64"])
    with pytest.raises(UserError, match="analysis.model is 'z'"):
        make(model="z", neurons=SET)
    with pytest.raises(UserError, match="no neuron of 'm' has an excess correlation above 0.95"):
        make(tables=table, threshold=0.95)
    with pytest.raises(UserError, match="analysis.families is 'kind', but the table has"):
        make(tables=table, families="kind")
    with pytest.raises(UserError, match="column 'neuron' of the table has 64 values"):
        make(tables=table, families="neuron")
    with pytest.raises(UserError, match=r"40 neurons of layer 0 of 'm', and there are only 24 others"):
        make(neurons=[f"L0.{index}" for index in range(40)])
    pd.DataFrame({"model": ["m"], "layer": [7], "neuron": [0], "excess_corr": [0.9]}).to_parquet(
        tmp_path / "far.parquet"
    )
    with pytest.raises(UserError, match="L7.0, which 'm' does not have"):
        make(tables=str(tmp_path / "far.parquet"))
    pd.DataFrame({"model": ["n"], "layer": [0], "neuron": [0], "excess_corr": [0.9]}).to_parquet(
        tmp_path / "other.parquet"
    )
    with pytest.raises(UserError, match="has no neurons of 'm', but of n"):
        make(tables=str(tmp_path / "other.parquet"))
    with pytest.raises(UserError, match="there is no neuron table at"):
        make(tables="nowhere.parquet")
    for changes, message in (
        ({"neurons": []}, "analysis.neurons is empty"),
        ({"sets": {"x": []}}, "analysis.sets.x is empty"),
        ({"sets": {"universal": ["L0.1"]}}, "a name that has a meaning here"),
        ({"edit": EditKind.fix}, "analysis.edit=fix needs analysis.values"),
        ({"values": [1.0]}, "analysis.edit=mean takes no value"),
        ({"edit": EditKind.fix, "values": [1.0, 1.0]}, "a value twice"),
        ({"families": "class"}, "names a column of analysis.tables"),
        ({"top": 0}, "analysis.top is 0"),
        ({"draws": -1}, "analysis.draws"),
    ):
        with pytest.raises(ValueError, match=message):
            AblationConfig(**changes)


def test_only_without_any_set_universal_neurons_are_found_first():
    assert runner(AblationConfig()).way is Way.study
    for named in ({"neurons": ["L0.1"]}, {"sets": {"x": ["L0.1"]}}, {"tables": "somewhere"}):
        assert runner(AblationConfig(**named)).way is Way.stream
