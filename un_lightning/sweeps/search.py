"""Which points of a sweep to run next: all of a grid, random draws, or what Bayesian search proposes."""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from un_lightning.errors import UserError
from un_lightning.sweeps.distributions import Parameter
from un_lightning.sweeps.spec import Metric, Sweep


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    number: int
    """From 1, in the order in which points are proposed."""
    values: dict[str, Any]
    """Value of every parameter, by its key with dots."""
    drawn: tuple[float, ...] = ()
    """Quantile of each parameter, in the file's order, where the search chose it."""


class Search:
    """Proposes points and hears what came out."""

    size: int | None = None
    """How many points there are; None if there is no end of them."""

    def propose(self, number: int) -> Point | None:
        """The point with a number; None if there are no more."""
        raise NotImplementedError

    def tell(self, point: Point, metric: float | None) -> None:
        """Take note of a point that has ended, with its metric if it has one."""


def make_search(sweep: Sweep, past: Iterable[tuple[Point, float | None]] = ()) -> Search:
    """The search that a sweep file asks for.

    Args:
        sweep: The file.
        past: Points that have ended in earlier sessions of the sweep, with their metric.

    Raises:
        UserError: Bayesian search is asked for and Optuna is not installed.
    """
    if sweep.method == "grid":
        return Grid(sweep.parameters)
    if sweep.method == "random":
        return Random(sweep.parameters, sweep.seed)
    assert sweep.metric is not None
    return Bayes(sweep.parameters, sweep.metric, sweep.seed, past)


class Grid(Search):
    """Every combination once, the last parameter running fastest, as W&B orders them."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        combinations = itertools.product(*(parameter.grid() for parameter in parameters))
        keys = [parameter.key for parameter in parameters]
        # A value that the file lists twice is run once; 1 and 1.0 are two values.
        once = {json.dumps(combination): combination for combination in combinations}
        self.points = [
            Point(number, dict(zip(keys, values, strict=True)))
            for number, values in enumerate(once.values(), 1)
        ]
        self.size = len(self.points)

    def propose(self, number: int) -> Point | None:
        """The point with a number; None behind the last."""
        return self.points[number - 1] if number <= len(self.points) else None


class Random(Search):
    """Independent draws; a point depends on the file and its number alone."""

    def __init__(self, parameters: Sequence[Parameter], seed: int) -> None:
        self.parameters = parameters
        self.seed = seed

    def propose(self, number: int) -> Point:
        """The point with a number."""
        drawn = np.random.default_rng([self.seed, number]).random(len(self.parameters))
        return _at(self.parameters, number, drawn.tolist())


class Bayes(Search):
    """Optuna's tree-structured Parzen estimator, over the quantiles of every parameter.

    W&B itself uses a Gaussian process, so its points differ; both balance trying out and improving.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        metric: Metric,
        seed: int,
        past: Iterable[tuple[Point, float | None]],
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            raise UserError("method bayes needs Optuna: pip install 'un-lightning[sweeps]'") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self.parameters = parameters
        past = list(past)
        # constant_liar keeps workers from trying the same place at the same time.
        sampler = optuna.samplers.TPESampler(seed=seed + len(past), constant_liar=True)
        self._study = optuna.create_study(direction=metric.goal, sampler=sampler)
        self._running: dict[int, Any] = {}
        self._spaces = {parameter.key: self._space(parameter) for parameter in parameters}
        for point, value in past:
            self._add(point, value)

    def propose(self, number: int) -> Point:
        """A new point."""
        trial = self._study.ask(self._spaces)
        self._running[number] = trial
        drawn = [
            parameter.middle(trial.params[parameter.key])
            if parameter.choices
            else trial.params[parameter.key]
            for parameter in self.parameters
        ]
        return _at(self.parameters, number, drawn)

    def tell(self, point: Point, metric: float | None) -> None:
        """Learn from a point; one without a metric is left out."""
        trial = self._running.pop(point.number, None)
        if trial is None:
            self._add(point, metric)
            return
        self._study.tell(trial, metric, state=self._optuna.trial.TrialState.FAIL if metric is None else None)

    def _space(self, parameter: Parameter) -> Any:
        choices = parameter.choices
        if choices is None:
            return self._optuna.distributions.FloatDistribution(0.0, 1.0)
        return self._optuna.distributions.CategoricalDistribution(range(len(choices)))

    def _add(self, point: Point, metric: float | None) -> None:
        """Add a point of an earlier session."""
        if metric is None:
            return
        params = {
            parameter.key: parameter.choice(u) if parameter.choices else u
            for parameter, u in zip(self.parameters, point.drawn, strict=True)
        }
        trial = self._optuna.trial.create_trial(params=params, distributions=self._spaces, value=metric)
        self._study.add_trial(trial)


def _at(parameters: Sequence[Parameter], number: int, drawn: Sequence[float]) -> Point:
    values = {parameter.key: parameter.quantile(u) for parameter, u in zip(parameters, drawn, strict=True)}
    return Point(number, values, tuple(drawn))
