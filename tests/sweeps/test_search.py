"""Which points a sweep runs: the grid is W&B's own, draws are repeatable, Bayesian search learns."""

import json

import pytest

from un_lightning.sweeps.command import nested
from un_lightning.sweeps.search import make_search
from un_lightning.sweeps.spec import read_sweep


GRIDS = {
    "flat": {"b": {"values": [1, 2]}, "a": {"values": ["x", "y", "z"]}, "c": {"value": 5}},
    "dotted": {
        "data.tokens": {"values": [3, 2]},
        "analysis.threshold": {"values": [0.5, 1, 1.0, True, None]},
    },
    "a value twice": {"a": {"values": [1, 2, 1]}, "b": {"values": [0, 1]}},
    "whole numbers": {"a": {"min": 2, "max": 4}, "b": {"values": [[0, 1], [2]]}},
    "steps": {"a": {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.3}},
    "nested": {
        "a": {"parameters": {"y": {"values": [1, 2]}, "b": {"parameters": {"c": {"values": [3, 4]}}}}}
    },
    "upper case": {"b": {"values": [1, 2]}, "A": {"values": [3, 4]}},
}


def search_of(tmp_path, **content):
    path = tmp_path / "sweep.yaml"
    path.write_text(json.dumps(content))
    sweep = read_sweep(path)
    return sweep, make_search(sweep)


def proposals(search, number):
    points = [search.propose(place) for place in range(1, number + 1)]
    return [point.values for point in points if point is not None]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_grid_is_wandbs_own(tmp_path, grid):
    """Same points in the same order as the library with which W&B's server expands a grid."""
    from sweeps.grid_search import grid_search_next_runs

    config = {"method": "grid", "parameters": GRIDS[grid]}
    theirs = [run for run in grid_search_next_runs([], config, n=100) if run is not None]
    expected = [{key: entry["value"] for key, entry in run.config.items()} for run in theirs]
    sweep, search = search_of(tmp_path, **config)
    ours = [nested(sweep.parameters, values) for values in proposals(search, 100)]
    # Asked for many at once, their library gives a value that is listed twice twice; asked one by one, once.
    once = list({json.dumps(point, sort_keys=True): point for point in expected}.values())
    assert [json.dumps(point, sort_keys=True) for point in ours] == [
        json.dumps(p, sort_keys=True) for p in once
    ]
    assert search.size == len(ours)


def test_draws_depend_on_the_file_and_the_number_alone(tmp_path):
    space = {"a": {"min": 0.0, "max": 1.0}, "b": {"values": list("xyz")}}
    _, one = search_of(tmp_path, method="random", parameters=space, run_cap=3)
    _, other = search_of(tmp_path, method="random", parameters=space, run_cap=30)
    first = proposals(one, 20)
    assert other.propose(20).values == first[19]
    assert len({point["a"] for point in first}) == 20
    assert {point["b"] for point in first} == {*"xyz"}


def loss(values):
    return (values["a"] - 0.3) ** 2 + (values["b"] != "y")


def test_bayesian_search_learns_and_goes_on(tmp_path):
    space = {
        "a": {"distribution": "uniform", "min": 0.0, "max": 1.0},
        "b": {"values": list("wxyz")},
        "n": {"min": 1, "max": 9},
    }
    file = {"method": "bayes", "parameters": space, "metric": {"name": "loss", "goal": "minimize"}}
    sweep, search = search_of(tmp_path, **file)
    past = []
    for number in range(1, 31):
        point = search.propose(number)
        assert len(point.drawn) == 3
        value = None if number == 5 else loss(point.values)
        search.tell(point, value)
        past.append((point, value))
    again = make_search(sweep, past)
    later = []
    for number in range(31, 51):
        point = again.propose(number)
        again.tell(point, loss(point.values))
        later.append(point.values)
    assert {type(point["n"]) for point in later} == {int}
    # What was learned survives the restart: blind draws would have a quarter of b right, and a off by 0.29.
    assert sum(point["b"] == "y" for point in later) >= 12
    assert sorted(abs(point["a"] - 0.3) for point in later)[10] < 0.12


def test_workers_are_given_different_points(tmp_path):
    space = {"a": {"min": 0.0, "max": 1.0}}
    file = {"method": "bayes", "parameters": space, "metric": {"name": "loss", "goal": "maximize"}}
    _, search = search_of(tmp_path, **file)
    assert len({search.propose(number).values["a"] for number in range(1, 9)}) == 8
