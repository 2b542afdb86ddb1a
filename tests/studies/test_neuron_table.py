"""The neuron table: parts run once, are found again, and are joined without losing or mixing neurons."""

import os
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import yaml

from un_lightning.config import ActivationsConfig, Config, NeuronTableConfig, WeightsConfig
from un_lightning.config.engine import LoggerConfig, LoggerKind
from un_lightning.config.neuron_table import PARTS
from un_lightning.errors import UserError
from un_lightning.results.results import Results
from un_lightning.running.reuse import finished_run
from un_lightning.studies.neuron_table import (
    PUBLISHED,
    join_tables,
    neuron_table_results,
    part_config,
    run_neuron_table,
)


COLUMNS = {
    "correlation": (
        "max_corr", "mean_corr", "min_corr", "max_baseline", "min_baseline", "mean_baseline", "excess_corr",
    ),
    "activations": ("mean", "var", "skew", "kurt", "sparsity", "q0.5"),
    "weights": (
        "w_in_norm", "input_bias", "w_out_norm", "in_out_sim", "l2_penalty",
        "vocab_mean", "vocab_var", "vocab_skew", "vocab_kurt", "in_in_max",
    ),
}  # fmt: skip
KEYS = [(model, layer, neuron) for model in "ab" for layer in range(2) for neuron in range(3)]


def part_table(part, models="ab"):
    """A stand-in for what a part finds; every number tells its neuron and column."""
    table = pd.DataFrame(KEYS, columns=["model", "layer", "neuron"])
    for index, name in enumerate(COLUMNS[part]):
        table[name] = np.arange(len(table)) + 100.0 * index
    if part != "weights":
        table["valid"] = table["neuron"] != (0 if part == "correlation" else 1)
    if part == "correlation":
        table["universal"] = table["layer"] == 0
    return table[table["model"].isin([*models])].sample(frac=1, random_state=1)


@pytest.fixture
def config(tmp_path):
    return Config(
        name="tiny/neuron_table",
        root=str(tmp_path / "runs"),
        models={"family": "f", "members": [{"name": "a", "path": None}]},
        data={"path": None, "tokens": 10, "batch_size": 4, "workers": 0},
        trainer={"devices": 1},
        logger=LoggerConfig(kind=LoggerKind.none),
        analysis=NeuronTableConfig(),
    )


@pytest.fixture
def ran():
    return []


@pytest.fixture
def run_pass(ran, tmp_path):
    """Stands in for an analysis: writes its config, then its results."""

    def run(config, plain):
        ran.append(config.analysis.kind)
        folder = tmp_path / "runs" / config.name / f"2026-01-01_00-00-{len(ran):02d}"
        if config.run_dir is not None:
            folder = tmp_path / config.run_dir
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(plain))
        kind = config.analysis.kind
        models = "a" if kind == "activations" else "ab"
        scalars = {"analysis": kind, "tokens": 10}
        Results(scalars=scalars, tables={"neurons": part_table(kind, models)}).write(folder)

    return run


def plain(config):
    return yaml.safe_load(yaml.safe_dump(_plain_values(asdict(config))))


def _plain_values(value):
    if isinstance(value, dict):
        return {key: _plain_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_values(item) for item in value]
    return str(value) if isinstance(value, str) else value


def latest(config):
    return pd.read_parquet(f"{config.root}/{config.name}/latest/tables/neurons.parquet")


def test_parts_run_in_order_and_join(config, run_pass, ran):
    run_neuron_table(config, plain(config), run_pass)
    assert ran == [*PARTS]
    table = latest(config)
    assert list(table.columns[: len(PUBLISHED) + 1]) == ["model", *PUBLISHED]
    assert table["model"].unique().tolist() == ["a"]
    assert len(table) == 6
    for part in PARTS:
        expected = part_table(part, "a").set_index(["layer", "neuron"])
        found = table.set_index(["layer", "neuron"]).loc[expected.index]
        for column in COLUMNS[part]:
            assert found[column].tolist() == expected[column].tolist()
    assert table["valid"].tolist() == (table["neuron"] == 2).tolist()
    assert table["cluster"].tolist() == [*range(6)]  # these parts have neither neighbours nor matches


def test_near_copies_share_a_cluster(tmp_path):
    rows = part_table("weights", "a").head(2)
    (first, second) = rows[["layer", "neuron"]].to_numpy().tolist()
    pair = {"model": ["a", "b"], "kind": "out_out", "cosine": -0.9, "layer": first[0], "neuron": first[1]}
    pair |= {"match_layer": second[0], "match_neuron": second[1]}
    parts = {part: tmp_path / part for part in PARTS}
    for part, folder in parts.items():
        tables = {"neurons": part_table(part, "a")}
        if part == "weights":
            tables["neighbours"] = pd.DataFrame(pair)
        Results(scalars={"analysis": part, "tokens": 10}, tables=tables).write(folder)
    results = neuron_table_results(parts)
    assert results.scalars["neurons/clusters"] == 5
    table = results.tables["neurons"].set_index(["layer", "neuron"])
    assert table.loc[tuple(first), "cluster"] == table.loc[tuple(second), "cluster"]


def test_finished_parts_are_taken_whatever_their_name(config, run_pass, ran):
    own, own_plain, _ = part_config(config, plain(config), "correlation")
    own.name = own_plain["name"] = "tiny/universality"
    own_plain["trainer"] = {"devices": 2}
    own_plain["data"]["batch_size"] = 8
    run_pass(own, own_plain)
    ran.clear()
    run_neuron_table(config, plain(config), run_pass)
    assert ran == ["activations", "weights"]
    run_neuron_table(config, plain(config), run_pass)
    assert ran == ["activations", "weights"]
    config.data["tokens"] = 20
    run_neuron_table(config, plain(config), run_pass)
    assert ran == ["activations", "weights", *PARTS]


def test_reuse_can_be_refused(config, run_pass, ran):
    config.analysis.reuse = False
    for _ in range(2):
        run_neuron_table(config, plain(config), run_pass)
    assert ran == [*PARTS, *PARTS]


def test_a_setting_of_one_part_runs_that_part_alone(config, run_pass, ran):
    run_neuron_table(config, plain(config), run_pass)
    config.analysis.weights.top_tokens = 3
    run_neuron_table(config, plain(config), run_pass)
    assert ran == [*PARTS, "weights"]


def test_a_changed_model_is_run_again(config, run_pass, ran, tmp_path):
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_text("1")
    config.models["members"][0]["path"] = str(weights.parent)
    os.utime(weights, (1, 1))
    run_neuron_table(config, plain(config), run_pass)
    run_neuron_table(config, plain(config), run_pass)
    assert ran == [*PARTS]
    future = 4_000_000_000
    os.utime(weights, (future, future))
    assert finished_run(config.root, part_config(config, plain(config), "weights")[1]) is None


def test_a_folder_of_ones_own_holds_the_parts(config, run_pass, tmp_path):
    config.run_dir = "mine"
    run_neuron_table(config, plain(config), run_pass)
    assert {path.name for path in (tmp_path / "mine").iterdir()} >= {*PARTS, "summary.json", "tables"}


def test_resume_names_no_folder(config, run_pass):
    config.resume = "runs/tiny/neuron_table-weights/x"
    with pytest.raises(UserError, match="use resume=auto"):
        run_neuron_table(config, plain(config), run_pass)


def test_unreadable_runs_answer_nothing(config, run_pass, ran, tmp_path):
    run_neuron_table(config, plain(config), run_pass)
    for name in ("config.yaml", "summary.json"):
        for path in (tmp_path / "runs").rglob(name):
            path.write_text("{")
    run_neuron_table(config, plain(config), run_pass)
    assert ran == [*PARTS, *PARTS]


def test_tables_that_do_not_go_together_are_refused():
    correlation, activations = part_table("correlation", "b"), part_table("activations", "a")
    with pytest.raises(UserError, match="no neuron in common"):
        join_tables({"correlation": correlation, "activations": activations})
    weights = part_table("weights").assign(mean=1.0)
    with pytest.raises(UserError, match="the table of weights has columns that another has, too: mean"):
        join_tables({"activations": activations, "weights": weights})


def test_parts_of_different_models_are_refused():
    with pytest.raises(ValueError, match=r"analysis\.activations\.model is None, but .* is b"):
        NeuronTableConfig(weights=WeightsConfig(model="b"))
    NeuronTableConfig(weights=WeightsConfig(model="b"), activations=ActivationsConfig(model="b"))
    with pytest.raises(ValueError, match=r"analysis\.weights\.kind is 'x'"):
        NeuronTableConfig(weights=WeightsConfig(kind="x"))
