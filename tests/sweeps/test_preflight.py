"""Mistakes in a sweep file are found before its first run, and every shipped file has none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from un_lightning.errors import UserError
from un_lightning.sweeps.command import check_command, command_words, nested, program_of
from un_lightning.sweeps.main import main
from un_lightning.sweeps.preflight import check_points, edges
from un_lightning.sweeps.spec import read_sweep


REPOSITORY = Path(__file__).parents[2]
COMMAND = ["${env}", "python", "experiments/run.py", "experiment=tiny/universality", "${args_no_hyphens}"]


def file_of(tmp_path, command=None, **parameters):
    path = tmp_path / "some.yaml"
    entries = {
        key: {"values": value} if isinstance(value, list) else value for key, value in parameters.items()
    }
    content = {"method": "grid", "parameters": entries, "command": command or COMMAND}
    path.write_text(yaml.safe_dump(content))
    return path


MISTAKES = {
    "an unknown key": (
        {"analysis.thresold": [1]},
        ["unknown key 'analysis.thresold' (did you mean threshold?)"],
    ),
    "a key of no group": ({"anlysis.threshold": [1]}, ["anlysis"]),
    "a wrong type": ({"analysis.draws": [1, "many"]}, ["analysis.draws=many: analysis.draws", "Integer"]),
    "text for a number": ({"analysis.ridge": ["1e-4", "small"]}, ["analysis.ridge=small"]),
    "out of range": ({"data.tokens": [1000, 0]}, ["data.tokens=0", "must be at least 1"]),
    "an unknown choice": ({"analysis.baseline": ["rotation", "nose"]}, ["nose", "rotation, gaussian_rows"]),
    "a wrong pair": (
        {"analysis.method": ["exact", "screen"], "analysis.baseline": ["rotation", "noise"]},
        ["analysis.baseline=noise analysis.method=screen", "has no baseline noise"],
    ),
    "an unknown group": ({"models": ["un_tiny", "un_tinny"]}, ["there is no models 'un_tinny'"]),
    "nested": ({"analysis": {"parameters": {"drws": {"values": [1]}}}}, ["unknown key 'analysis.drws'"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_before_the_first_run(tmp_path, capsys, mistake):
    parameters, messages = MISTAKES[mistake]
    assert main([str(file_of(tmp_path, **parameters))]) == 2
    printed = capsys.readouterr().err
    for message in messages:
        assert message in printed
    assert not (tmp_path / "runs").exists()


def test_good_values_of_every_kind_pass(tmp_path):
    path = file_of(
        tmp_path,
        **{
            "analysis.ridge": ["1e-4", 0.001],
            "analysis.measures": [["mutual"], []],
            "analysis.sample": [None],
            "analysis": {"parameters": {"draws": {"values": [1, 2]}}},
            "models": ["un_tiny"],
            "data.path": ["a,b = c"],
        },
    )
    sweep = read_sweep(path)
    check_command(sweep)
    assert check_points(sweep, edges(sweep))


def test_draws_are_checked_too(tmp_path, capsys):
    content = {"method": "random", "run_cap": 20, "command": COMMAND}
    content["parameters"] = {"analysis.threshold": {"min": 1.0, "max": 4.0}}
    path = tmp_path / "random.yaml"
    path.write_text(yaml.safe_dump(content))
    assert main([str(path)]) == 2
    assert "outside [-2, 2]" in capsys.readouterr().err
    path.write_text(yaml.safe_dump(content | {"method": "bayes", "metric": {"name": "x"}}))
    assert main([str(path)]) == 2
    assert "outside [-2, 2]" in capsys.readouterr().err


def test_of_very_many_points_every_value_is_checked(tmp_path, capsys, monkeypatch):
    """A mistake at one end of a large grid is found without composing all of it."""
    monkeypatch.setattr("un_lightning.sweeps.main.MOST_CHECKED", 5)
    values = {"analysis.draws": [1, 2, 3, 4], "analysis.top_k": [1, 2, 3, 0]}
    assert main([str(file_of(tmp_path, **values))]) == 2
    assert "analysis.top_k is 0" in capsys.readouterr().err


def test_own_configs_are_found(tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /models: un_tiny\n  - override /analysis: correlation\n"
        "name: own/own\n"
    )
    program = ["experiments/run.py", "--config-dir", str(tmp_path / "mine"), "experiment=own"]
    sweep = read_sweep(
        file_of(tmp_path, ["python", *program, "${args_no_hyphens}"], **{"analysis.draws": [1]})
    )
    assert check_points(sweep, edges(sweep))
    sweep = read_sweep(
        file_of(tmp_path, ["python", *program, "${args_no_hyphens}"], **{"analysis.drws": [1]})
    )
    with pytest.raises(UserError, match="unknown key 'analysis.drws'"):
        check_points(sweep, edges(sweep))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["python", "experiments/run.py", "${args}"], "this project reads key=value"),
        (["python", "experiments/run.py", "experiment=tiny/universality"], "has no ${args_no_hyphens}"),
        (["python", "x.py", "${arguments}"], "there is no macro ${arguments}"),
        (["${env}", "${interpreter}", "${program}", "${args}"], "neither program nor command"),
        (["un-lightning", "run", "-m", "${args_no_hyphens}"], "has --multirun"),
    ],
)
def test_commands_that_cannot_work(tmp_path, command, message):
    with pytest.raises(UserError) as caught:
        check_command(read_sweep(file_of(tmp_path, command, a=[1])))
    assert message in str(caught.value)


def test_another_program_is_run_with_a_warning(tmp_path, capsys):
    path = file_of(tmp_path, ["python", "train_something.py", "${args}"], a=[1])
    assert main([str(path), "--dry-run"]) == 0
    assert "nothing says whether its parameters exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["/usr/bin/env", "python", "experiments/run.py", "a=1"], "run"),
        (["python", "/somewhere/experiments/train.py", "a=1"], "train"),
        (["un-lightning", "run", "a=1"], "run"),
        (["/somewhere/bin/un-lightning", "prepare", "a=1"], "prepare"),
        (["un-lightning", "sweep", "a=1"], None),
        (["python", "run.py", "a=1"], None),
    ],
)
def test_the_programs_of_this_project(words, verb):
    program = program_of(words)
    assert (program and program.verb) == verb
    assert program is None or program.arguments == ["a=1"]


def test_words_are_those_that_wandbs_agent_writes(tmp_path, monkeypatch):
    """The agent's own function fills in the macros in the same way."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    monkeypatch.setenv("SOME_PLACE", "here")
    macros = ["args", "args_no_hyphens", "args_append_hydra", "args_override_hydra", "args_no_equals"]
    macros += ["args_no_boolean_flags", "args_json"]
    command = ["a", "x=${envvar:SOME_PLACE}/${envvar:NOWHERE_AT_ALL}", *(f"${{{name}}}" for name in macros)]
    path = file_of(
        tmp_path, command, a=[True], b=[False], c=[None], d=[1e-5], e={"parameters": {"f": {"value": "x y"}}}
    )
    sweep = read_sweep(path)
    values = nested(sweep.parameters, next(edges(sweep)).values)
    theirs = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    expected = []
    for word in create_sweep_command([*command]):
        expected += theirs[word[2:-1]] if word.startswith("${") else [word]
    assert command_words(sweep, values, "") == expected


SHIPPED = sorted((REPOSITORY / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_passes(path):
    sweep = read_sweep(path)
    check_command(sweep)
    assert check_points(sweep, edges(sweep))
    assert sweep.metric is not None
    assert f"experiments/sweep.py sweeps/{path.name}" in sweep.text


def test_some_files_are_shipped():
    assert REPOSITORY / "sweeps" / "universality.yaml" in SHIPPED


@pytest.mark.slow
def test_the_check_is_quick_to_start(tmp_path):
    code = (
        "import json, sys\nfrom un_lightning.sweeps.main import main\n"
        "code = main([sys.argv[1], '--dry-run'])\nprint(json.dumps([code, sorted(sys.modules)]))"
    )
    path = str(REPOSITORY / "sweeps" / "universality.yaml")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert {"torch", "transformers", "pandas", "matplotlib", "wandb", "optuna"}.isdisjoint(modules)


@pytest.mark.slow
def test_the_script_and_its_help():
    script = REPOSITORY / "experiments" / "sweep.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--workers" in done.stdout
    done = subprocess.run([sys.executable, script, "none.yaml"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot read none.yaml")
