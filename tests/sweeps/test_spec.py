"""Sweep files: what is read, and what is refused with the key's name."""

import pytest
import yaml

from un_lightning.errors import UserError
from un_lightning.sweeps.spec import read_sweep


BAND = {"type": "hyperband"}
RANGE = {"a": {"min": 0.0, "max": 1.0}}
TWICE = {"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 2}}}}
APART = {"a": {"value": 1}, "b": {"value": 2}, "a.c": {"value": 1}}
GOOD = {"method": "grid", "parameters": {"a": {"values": [1, 2]}}}
METRIC = {"name": "loss"}


def written(tmp_path, content, name="some file.yaml"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_a_file_is_read(tmp_path):
    content = {
        "method": "random",
        "name": "a name",
        "metric": {"name": "universal/count", "goal": "maximize", "target": 3},
        "run_cap": 4,
        "parameters": {
            "b.c": {"min": 0, "max": 3},
            "a": {"parameters": {"z": {"value": 1}, "d": {"values": ["x"]}}},
        },
        "early_terminate": {"type": "hyperband", "min_iter": 3},
        "command": ["python", 1, "${args}"],
    }
    sweep = read_sweep(written(tmp_path, content))
    assert [parameter.key for parameter in sweep.parameters] == ["a.d", "a.z", "b.c"]
    assert sweep.command == ("python", "1", "${args}")
    assert (sweep.method, sweep.run_cap, sweep.early_terminate) == ("random", 4, True)
    assert sweep.metric is not None
    assert (sweep.metric.name, sweep.metric.goal) == ("universal/count", "maximize")
    assert [sweep.metric.reached(value) for value in (2.9, 3.0, 4.0)] == [False, True, True]
    assert sweep.id.startswith("some-file-")


def test_what_is_searched_makes_the_sweep(tmp_path):
    first = read_sweep(written(tmp_path, GOOD)).id
    assert read_sweep(written(tmp_path, GOOD | {"run_cap": 3, "description": "more"})).id == first
    changed = GOOD | {"parameters": {"a": {"values": [1, 2, 3]}}}
    assert read_sweep(written(tmp_path, changed)).id != first


MISTAKES = {
    "no mapping": ("- 1", "holds keys"),
    "no yaml": ("a: [", "is no YAML"),
    "an unknown key": (GOOD | {"paramters": {}}, "unknown key 'paramters'"),
    "an unknown method": (GOOD | {"method": "gridd"}, "method is 'gridd', allowed are grid, random, bayes"),
    "no parameters": ({"method": "grid"}, "parameters is no mapping"),
    "a bare value": (GOOD | {"parameters": {"a": 3}}, "a: write value: 3"),
    "bayes without metric": (GOOD | {"method": "bayes"}, "bayes needs a metric"),
    "a wrong goal": (GOOD | {"metric": {"name": "m", "goal": "max"}}, "metric.goal is 'max'"),
    "a nameless metric": (GOOD | {"metric": {"goal": "maximize"}}, "metric has no name"),
    "no cap": (GOOD | {"run_cap": 0}, "run_cap is 0"),
    "a command of one text": (GOOD | {"command": "python x.py"}, "command is no list"),
    "twice": (GOOD | {"parameters": TWICE}, "a.b is given twice"),
    "a whole and its part": (GOOD | {"parameters": APART}, None),
    "hyperband of nothing": (
        GOOD | {"metric": METRIC, "early_terminate": {"type": "hyperband"}},
        "needs min_iter",
    ),
    "another stopping": (
        GOOD | {"metric": METRIC, "early_terminate": {"type": "median"}},
        "must be hyperband",
    ),
    "stopping without metric": (
        GOOD | {"early_terminate": BAND | {"min_iter": 1}},
        "needs a metric",
    ),
    "a key that is none": (GOOD | {"parameters": {"a b": {"value": 1}}}, "'a b' cannot be a key"),
    "a grid of a distribution": (
        GOOD | {"parameters": {"a": {"min": 0.0, "max": 1.0}}},
        "a: a grid cannot enumerate",
    ),
    "a date": ("method: grid\nparameters: {a: {value: 2020-01-01}}", "neither number, text"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_name_the_key(tmp_path, mistake):
    content, message = MISTAKES[mistake]
    if message is None:
        read_sweep(written(tmp_path, content))  # a value for a group and one for its key go together
        return
    with pytest.raises(UserError, match="some file.yaml") as caught:
        read_sweep(written(tmp_path, content))
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot read .*none.yaml: No such file"):
        read_sweep(tmp_path / "none.yaml")
