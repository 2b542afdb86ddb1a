"""The screening method on models, against the exact one and through ranks and interruptions."""

from itertools import combinations, pairwise
from types import SimpleNamespace
from weakref import WeakSet

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from tests.analyses.conftest import BLOCKS, CONTEXT
from tests.analyses.correlation.test_analysis import Lookup, family, gpt2
from tests.small_runs import Runs, assert_same_table
from un_lightning import memory
from un_lightning.analyses import make_analysis
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.analyses.screen import analysis as screening
from un_lightning.analyses.screen.analysis import ScreenAnalysis, checks, is_check
from un_lightning.analyses.screen.memory import plan_memory
from un_lightning.analyses.screen.sample import in_turn, sample_blocks
from un_lightning.config import (
    Baseline,
    BaselineOf,
    CorrelationConfig,
    Gemm,
    MeasureName,
    Method,
    Pairs,
    Site,
)
from un_lightning.errors import UserError
from un_lightning.models.units import Units
from un_lightning.stats.block_sample import BlockSample


SAMPLE = 20 * CONTEXT
MEDIUM = {name: Units(name, Site.mlp_post, (4096,) * 24) for name in "abcde"}
STAR = [("a", other) for other in "bcde"]


def screen(models, **settings):
    config = CorrelationConfig(method=Method.screen, sample=SAMPLE, **settings)
    return make_analysis(config, family(**models), 0)


def exact(models, **settings):
    return CorrelationAnalysis(CorrelationConfig(jackknife=0, measures=[], **settings), family(**models), 0)


def of(results, model="a", table="neurons", rank=None):
    rows = results.tables[table].query(f"model == '{model}'")
    return (rows if rank is None else rows.query(f"rank == {rank}")).reset_index(drop=True)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_following_everything_equals_exact(validate, batch_size):
    """With as many candidates as there are units nothing is missed: same table, same best partners."""
    models = {"a": gpt2(0), "b": gpt2(1, layers=3), "c": gpt2(2, inner=40)}
    found = validate(screen(models, candidates=200, floor=-1.0), batch_size)
    expected = validate(exact(models), batch_size)
    for model in models:
        for column in ("max_corr", "mean_corr", "min_corr"):
            np.testing.assert_allclose(of(found, model)[column], of(expected, model)[column], atol=1e-6)
        one, two = (of(results, model, "matches", rank=1) for results in (found, expected))
        names = ["layer", "neuron", "other", "match_layer", "match_neuron"]
        assert one[names].equals(two[names])
    columns = ["model", "layer", "match_layer", "fraction"]
    one, two = (results.tables["layer_match"][columns] for results in (found, expected))
    np.testing.assert_allclose(one["fraction"], two["fraction"])
    assert found.scalars["counted_tokens"] == expected.scalars["counted_tokens"]
    assert set(found.figures) == set(expected.figures)


@pytest.mark.parametrize("method", [screen, exact])
def test_the_reference_alone_can_be_compared_with_the_baseline(validate, method):
    """Its rows are the same; the others have no baseline, and their correlations all the same."""
    models = {"a": gpt2(0), "b": gpt2(1, layers=3), "c": gpt2(2, inner=40)}
    one = method(models, baseline_of=BaselineOf.reference)
    found, expected = validate(one), validate(method(models))
    pd.testing.assert_frame_equal(of(found), of(expected), check_exact=True)
    others, whole = (results.tables["neurons"].query("model != 'a'") for results in (found, expected))
    missing = ["max_baseline", "mean_baseline", "min_baseline", "baseline_stderr", "excess_corr"]
    assert others[missing].isna().all(axis=None)
    assert whole[missing].notna().all(axis=None)
    pd.testing.assert_series_equal(others["mean_corr"], whole["mean_corr"], check_exact=True)
    assert not any(name == "grams-a" for name in one.statistics)
    assert found.scalars == expected.scalars


def test_few_candidates_miss_little_and_name_what_they_found(validate):
    models = {"a": gpt2(0), "b": gpt2(1)}
    found, expected = of(validate(screen(models, candidates=8))), of(validate(exact(models)))
    missed = expected["mean_corr"] - found["mean_corr"]
    assert (missed > -1e-6).all()  # a followed pair is a pair
    best = expected["mean_corr"] > expected["mean_corr"].median()
    assert (missed[best] < 1e-6).mean() > 0.9
    assert missed.max() < 0.1
    assert found["certified"].dtype == bool
    assert not found.query("~valid")["certified"].any()


def test_the_result_does_not_depend_on_the_batch_size(validate):
    models = {"a": gpt2(0), "b": gpt2(1)}
    one, two = (of(validate(screen(models), size)).drop(columns="model") for size in (3, 40))
    # Which columns tie at the sample's float32 rounding could differ; the numbers do not.
    np.testing.assert_allclose(one.astype(float), two.astype(float), rtol=1e-6, atol=1e-5)


def test_a_copy_is_found_and_certified(validate):
    """Units of a table are told apart on the sample already; their whole stream is five times longer."""
    models = {"a": Lookup(), "b": Lookup()}
    results = validate(screen(models, site=Site.units, confidence=0.95, candidates=8))
    table = of(results)
    np.testing.assert_allclose(table["max_corr"], 1.0, atol=1e-6)
    best = of(results, table="matches", rank=1)
    np.testing.assert_array_equal(best["match_neuron"], best["neuron"])
    np.testing.assert_array_equal(best["match_layer"], best["layer"])
    assert results.scalars["screen/candidates"] == 8
    assert 192 <= results.scalars["screen/followed_pairs"] <= 2 * 8 * 192
    assert results.scalars["screen/certified_percent"] == 100 * table["certified"].mean()
    assert results.scalars["screen/sample_blocks"] == 20


def test_reading_everything_as_the_sample_certifies_everything(validate):
    """No block is left out, so that nothing is unknown."""
    config = CorrelationConfig(method=Method.screen, sample=BLOCKS * CONTEXT, floor=-1.0)
    results = validate(ScreenAnalysis(config, family(a=gpt2(0), b=gpt2(1)), 0))
    assert results.tables["neurons"]["certified"].all()


ROTATIONS = [Baseline.rotation, Baseline.gaussian_rows, Baseline.rotation_z]


def test_the_baseline_is_that_of_the_exact_method_within_its_error(validate):
    """The sample is half of the stream. Units share its luck, so the error is that over pairs of models."""
    bias = []
    for seed, baseline in enumerate(ROTATIONS):
        models = {"a": gpt2(2 * seed + 10), "b": gpt2(2 * seed + 11)}
        results = [validate(method(models, baseline=baseline)) for method in (screen, exact)]
        one, two = (of(each)["mean_baseline"] for each in results)
        bias.append((one - two).mean())
        assert np.corrcoef(one, two)[0, 1] > 0.5
    assert abs(np.mean(bias)) < 3 * np.std(bias, ddof=1) / np.sqrt(len(bias))
    assert np.std(bias) < 0.01


def test_with_a_sample_of_everything_the_baseline_is_the_exact_one(validate):
    models = {"a": gpt2(0), "b": gpt2(1)}
    config = CorrelationConfig(method=Method.screen, sample=BLOCKS * CONTEXT, draws=2)
    one = of(validate(ScreenAnalysis(config, family(**models), 0)))
    two = of(validate(exact(models, draws=2)))
    for column in ("mean_baseline", "baseline_stderr"):
        np.testing.assert_allclose(one[column], two[column], atol=5e-6)


def test_dead_and_broken_units_are_reported(validate):
    model, other = gpt2(0), gpt2(1)
    mlp = model.transformer.h[0].mlp
    mlp.c_fc.weight.data[:, 3] = 0
    mlp.c_fc.bias.data[9] = float("nan")
    mlp.c_proj.weight.data[9] = 0
    mlp.c_proj.register_forward_pre_hook(lambda _module, args: (torch.nan_to_num(args[0]),))
    results = validate(screen({"a": model, "b": other}))
    table = of(results)
    assert table.index[~table["valid"]].tolist() == [3, 9]
    assert table.loc[[3, 9], ["max_corr", "mean_baseline", "excess_corr"]].isna().all(axis=None)
    assert not table.loc[[3, 9], "certified"].any()
    assert table.drop([3, 9])["mean_corr"].notna().all()
    partners = results.tables["matches"].query("other == 'a' and match_layer == 0")["match_neuron"]
    assert not partners.isin([3, 9]).any()


def test_going_on_in_the_middle_gives_the_same(in_parts):
    """What a stopped run saved is its candidates and its sums."""
    parts = in_parts(lambda: screen({"a": gpt2(0), "b": gpt2(1)}))
    for stop in (1, 4):  # before any pair is dropped, and when some have been
        parts.goes_on(after=stop)


def test_all_pairs_and_reduced_precision(validate):
    models = {"a": gpt2(0), "b": gpt2(1), "c": gpt2(2)}
    rounded = validate(screen(models, pairs=Pairs.all, gemm=Gemm.bfloat16))
    plain = validate(screen(models, pairs=Pairs.all))
    np.testing.assert_allclose(
        rounded.tables["neurons"]["mean_corr"], plain.tables["neurons"]["mean_corr"], atol=0.05
    )
    assert set(of(plain, "b", "matches")["other"]) == {"a", "c"}


@pytest.mark.parametrize(
    ("sample", "tokens", "context", "blocks"),
    [
        (None, 400_000, 128, 128),
        (None, 1_000_000, 128, 157),
        (None, 100_000_000, 512, 256),
        (None, 4_096, 128, 32),
        (10_000, 400_000, 128, 79),
    ],
)
def test_the_size_of_the_sample(sample, tokens, context, blocks):
    assert sample_blocks(CorrelationConfig(method=Method.screen, sample=sample), tokens, context) == blocks


def test_a_sample_of_few_blocks_is_refused():
    with pytest.raises(UserError, match=r"set analysis\.sample to 1,024 tokens or more"):
        sample_blocks(CorrelationConfig(method=Method.screen, sample=100), 400_000, 128)


def planned(sample=131_072, pairs=STAR, batch=8192, kept=torch.float32, **settings):
    """Gigabytes of GPT-2 medium's star of five."""
    config = CorrelationConfig(method=Method.screen, **settings)
    plan = plan_memory(
        config, pairs, MEDIUM, sample_tokens=sample, batch_tokens=batch, kept=kept,
        device=torch.device("cpu"), processes=1,
    )  # fmt: skip
    return plan.bytes / 1e9


def test_a_star_of_five_takes_no_more_than_a_pair():
    """Two samples of 98,304 units, 131,072 tokens and 4 bytes are 103.1 GB, rotations 9.7 GB."""
    star, pair = (planned(pairs=pairs, memory_gb=140.0) for pairs in (STAR, STAR[:1]))
    assert star == pair
    assert 103.1 + 9.7 < star < 103.1 + 9.7 + 6


def test_a_sample_that_does_not_fit_is_refused_with_the_sample_that_does():
    with pytest.raises(UserError, match=r"activations of two models 10\d GB") as refused:
        planned(memory_gb=80.0)
    message = str(refused.value)
    for way in ("gemm=bfloat16", "method=exact", "raise analysis.memory_gb", "80 GB"):
        assert way in message
    assert "batch_size" not in message
    fits = int(message.partition("analysis.sample=")[2].split()[0])
    assert 79.99 < planned(fits, memory_gb=80.0) <= 80.0
    with pytest.raises(UserError):
        planned(fits + 1, memory_gb=80.0)
    assert planned(kept=torch.bfloat16, gemm=Gemm.bfloat16, memory_gb=80.0) < 80


def test_what_is_no_way_out_is_not_offered():
    """Without rotations of 14 GB a smaller sample would not help either."""
    with pytest.raises(UserError, match=r"lower analysis\.draws") as refused:
        planned(memory_gb=12.0)
    assert "analysis.sample=" not in str(refused.value)
    with pytest.raises(UserError, match=r"the sample of 16,384 tokens.*lower data\.batch_size"):
        planned(16_384, memory_gb=40.0, batch=65_536)
    with pytest.raises(UserError, match=r"the activations of a batch.*lower data\.batch_size"):
        planned(16_384, memory_gb=70.0, batch=65_536)


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000000000")
    (tmp_path / "memory.current").write_text("100000000")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    with pytest.raises(UserError, match=r"more than the 0\.81 GB there are on cpu") as refused:
        planned()
    assert "memory_gb" not in str(refused.value)


def test_a_run_is_refused_before_any_sample_is_taken(validate, monkeypatch):
    monkeypatch.setattr(ScreenAnalysis, "_sample", lambda *_: pytest.fail("a sample was taken"))
    with pytest.raises(UserError, match=r"more than the 1e-05 GB there are"):
        validate(screen({"a": gpt2(0), "b": gpt2(1)}, memory_gb=1e-5))


@pytest.mark.parametrize("members", [2, 3, 4, 5, 6])
def test_each_pair_shares_a_model_with_the_one_before(members):
    pairs = list(combinations("abcdef"[:members], 2))
    ordered = in_turn(pairs)
    assert sorted(ordered) == sorted(pairs)
    assert all({*one} & {*two} for one, two in pairwise(ordered))
    star = [("a", other) for other in "bcdef"[: members - 1]]
    assert in_turn(star) == star
    apart = [("a", "b"), ("c", "d"), ("b", "c")]
    assert in_turn(apart) == [("a", "b"), ("b", "c"), ("c", "d")]


@pytest.mark.parametrize(("pairs", "taken"), [(Pairs.star, 4), (Pairs.all, 7)])
def test_at_most_two_samples_are_alive(validate, monkeypatch, pairs, taken):
    """A pair but the first needs one sample, and the order changes no number."""
    alive, most, made = WeakSet(), [], []

    class Counted(BlockSample):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            alive.add(self)
            made.append(1)
            most.append(len(alive))

    monkeypatch.setattr(screening, "BlockSample", Counted)
    models = {name: gpt2(number) for number, name in enumerate("abcd")}
    settings = {"pairs": pairs, "draws": 1}
    found = validate(screen(models, **settings))
    assert max(most) == 2
    assert len(made) == taken
    assert not alive
    monkeypatch.setattr(screening, "in_turn", lambda pairs: pairs[::-1])
    turned = validate(screen(models, **settings))
    for name, table in found.tables.items():
        pd.testing.assert_frame_equal(turned.tables[name], table, check_exact=True, obj=name)


def test_every_check_of_every_rank_is_in_the_union_bound(stream, monkeypatch):
    for batches in (0, 1, 3, 4, 7, 8, 100, 1024):
        assert checks(batches) == sum(is_check(position) for position in range(1, batches + 1))
    models = {"a": gpt2(0), "b": gpt2(1), "c": gpt2(2)}
    found = {}
    wanted = {}
    for world in (1, 5, 7):
        analysis = screen(models, candidates=8)
        monkeypatch.setattr(ScreenAnalysis, "trainer", SimpleNamespace(world_size=world))
        data = stream(batch_size=1)
        data.setup("validate")
        analysis.pilot(data)
        every = sum(checks(len(data.batches(rank, world))) for rank in range(world))
        found[world] = analysis._bounds()
        # Against two other models: 128 partners, lower bounds of 8, and two bounds of these at each check.
        wanted[world] = 2 * (128 + 8 + 16 * every)
    assert found == wanted


def test_units_below_the_floor_say_so(validate):
    models = {"a": gpt2(0), "b": gpt2(1)}
    results = validate(screen(models, floor=2.0, candidates=4))
    table = of(results)
    assert table["below_floor"].equals(table["valid"])
    assert results.scalars["screen/below_floor"] == table["below_floor"].sum() > 0
    assert table["mean_corr"].notna().all()
    assert not of(validate(screen(models, floor=-1.0, candidates=4)))["below_floor"].any()


@pytest.mark.slow
def test_two_ranks_find_what_one_finds(tmp_path, small_text):
    """Nothing is dropped at this confidence; 1e-6 is what float32 sums in another order may differ by."""
    settings = ["analysis.confidence=0.9999999", "analysis.floor=-1", "analysis.sample=512"]
    folders = []
    for world in (1, 2):
        runs = Runs(tmp_path / str(world), small_text, world, 1, "tiny/screen", settings)
        assert runs.go(interruptions=[None] * world) == [0] * world, runs.output.read_text()
        folders += runs.folders
    (one, two), (some, others) = (
        [pd.read_parquet(folder / "tables" / name) for folder in folders]
        for name in ("neurons.parquet", "matches.parquet")
    )
    assert one["valid"].all()
    assert_same_table(two, one)
    pd.testing.assert_frame_equal(others, some, rtol=0, atol=1e-6)
    assert len(some) == 16 * len(some.query("rank == 1"))  # every candidate is there to the end


def test_a_policy_that_counts_nothing_is_refused(validate, tmp_path):
    Dataset.from_dict({"tokens": np.zeros((20, 16), dtype=int).tolist()}).save_to_disk(tmp_path / "empty")
    with pytest.raises(UserError, match="no token of the sample"):
        validate(screen({"a": gpt2(0), "b": gpt2(1)}), blocks=20, path=tmp_path / "empty")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline": Baseline.noise}, "no baseline noise"),
        ({"measures": [MeasureName.linreg]}, "use analysis.method=exact"),
        ({"sample": 0}, "analysis.sample is 0"),
    ],
)
def test_what_needs_all_pairs_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CorrelationConfig(method=Method.screen, **settings)


def test_one_model_alone_is_refused():
    with pytest.raises(UserError, match="two models"):
        screen({"a": gpt2(0)})
