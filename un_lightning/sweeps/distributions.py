"""The values that a parameter of a sweep may take: W&B's distributions, each by its quantile function.

A value is the quantile at a number u in [0, 1). Random search draws u, Bayesian search chooses it, and a grid
takes every value of the distributions that have finitely many.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from un_lightning.errors import UserError


Settings = Mapping[str, Any]
_BOUNDS = {"min": None, "max": None}
_NORMAL = {"mu": 0.0, "sigma": 1.0}
_BETA = {"a": 1.0, "b": 1.0}
_STEP = {"q": 1.0}
_TINY = 1e-12
"""How near a quantile of an unbounded distribution may be to 0 or 1."""


def _between(low: float, high: float, u: float) -> float:
    return low + u * (high - low)


def _uniform(s: Settings, u: float) -> float:
    return _between(s["min"], s["max"], u)


def _log_uniform(s: Settings, u: float) -> float:
    return math.exp(_between(s["min"], s["max"], u))


def _log_uniform_values(s: Settings, u: float) -> float:
    return math.exp(_between(math.log(s["min"]), math.log(s["max"]), u))


def _inv_log_uniform(s: Settings, u: float) -> float:
    return math.exp(-_between(s["min"], s["max"], 1 - u))


def _normal(s: Settings, u: float) -> float:
    centred = NormalDist().inv_cdf(min(max(u, _TINY), 1 - _TINY))
    return s["mu"] + s["sigma"] * centred


def _log_normal(s: Settings, u: float) -> float:
    return math.exp(_normal(s, u))


def _beta(s: Settings, u: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(u, s["a"], s["b"]))


def _int_uniform(s: Settings, u: float) -> int:
    return min(s["min"] + math.floor(u * (s["max"] - s["min"] + 1)), s["max"])


CONTINUOUS: dict[str, tuple[Mapping[str, float | None], Callable[[Settings, float], float]]] = {
    "uniform": (_BOUNDS, _uniform),
    "q_uniform": (_BOUNDS | _STEP, _uniform),
    "log_uniform": (_BOUNDS, _log_uniform),
    "q_log_uniform": (_BOUNDS | _STEP, _log_uniform),
    "log_uniform_values": (_BOUNDS, _log_uniform_values),
    "q_log_uniform_values": (_BOUNDS | _STEP, _log_uniform_values),
    "inv_log_uniform": (_BOUNDS, _inv_log_uniform),
    "inv_log_uniform_values": (_BOUNDS, _log_uniform_values),
    "normal": (_NORMAL, _normal),
    "q_normal": (_NORMAL | _STEP, _normal),
    "log_normal": (_NORMAL, _log_normal),
    "q_log_normal": (_NORMAL | _STEP, _log_normal),
    "beta": (_BETA, _beta),
    "q_beta": (_BETA | _STEP, _beta),
    "int_uniform": (_BOUNDS, _int_uniform),
}
"""Settings with their defaults (None: required) and quantile function of each distribution of numbers.

`log_uniform` takes exponents of e as its bounds, `log_uniform_values` the values themselves. Those with `q`
are rounded to its multiples.
"""

DISCRETE = ("constant", "categorical", "categorical_w_probabilities")
DISTRIBUTIONS = (*DISCRETE, *CONTINUOUS)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a sweep."""

    path: tuple[str, ...]
    """Its key in the file; more than one part where the file nests parameters."""
    distribution: str
    settings: Settings

    @property
    def key(self) -> str:
        """The key of the config, with dots."""
        return ".".join(self.path)

    @property
    def choices(self) -> list[Any] | None:
        """All values of a list of values or a constant; None for a distribution of numbers."""
        if self.distribution == "constant":
            return [self.settings["value"]]
        return list(self.settings["values"]) if self.distribution in DISCRETE else None

    def quantile(self, u: float) -> Any:
        """The value below which a share u of the distribution lies, for u in [0, 1)."""
        if self.choices is not None:
            return self.choices[self.choice(u)]
        value = CONTINUOUS[self.distribution][1](self.settings, u)
        if not self.distribution.startswith("q_"):
            return value
        step = self.settings["q"]
        rounded = round(value / step) * step
        return int(rounded) if isinstance(step, int) else float(rounded)

    def choice(self, u: float) -> int:
        """Which of the listed values the quantile at u is."""
        edges = self._edges()
        return min(int(np.searchsorted(edges[1:], u, side="right")), len(edges) - 2)

    def middle(self, choice: int) -> float:
        """The quantile in the middle of those at which a listed value lies."""
        edges = self._edges()
        return float((edges[choice] + edges[choice + 1]) / 2)

    def _edges(self) -> np.ndarray:
        choices = self.choices or []
        shares = self.settings.get("probabilities", [1 / len(choices)] * len(choices))
        return np.concatenate([[0.0], np.cumsum(shares)])

    def grid(self) -> list[Any]:
        """Every value, as W&B's grid takes them: a `q_uniform` steps by q from min and ends below max.

        Raises:
            UserError: There is no end of values, or they have probabilities, which a grid would ignore.
        """
        if self.distribution in ("constant", "categorical"):
            return self.choices or []
        if self.distribution == "int_uniform":
            return list(range(self.settings["min"], self.settings["max"] + 1))
        if self.distribution == "q_uniform":
            return np.arange(self.settings["min"], self.settings["max"], self.settings["q"]).tolist()
        raise UserError(
            f"{self.key}: a grid cannot enumerate the distribution {self.distribution}: give it values, or "
            "use method: random"
        )

    def edges(self) -> list[Any]:
        """Values that show whether the config takes what this parameter may be."""
        return self.choices or [self.quantile(0.0), self.quantile(1 - _TINY)]


def parameter(path: tuple[str, ...], entry: Settings) -> Parameter:
    """Read one parameter of a sweep file.

    Raises:
        UserError: Its settings do not fit together; the message names the key.
    """
    key = ".".join(path)
    given = dict(entry)
    name = given.pop("distribution", None) or _implied(key, given)
    if name not in DISTRIBUTIONS:
        raise UserError(
            f"{key}: there is no distribution '{name}'; allowed are {', '.join(sorted(DISTRIBUTIONS))}"
        )
    if name in DISCRETE:
        return Parameter(path, name, _discrete(key, name, given))
    defaults = CONTINUOUS[name][0]
    _refuse_others(key, name, given, defaults)
    missing = [what for what, default in defaults.items() if default is None and what not in given]
    if missing:
        raise UserError(f"{key}: {name} needs {' and '.join(missing)}")
    settings = {what: given.get(what, default) for what, default in defaults.items()}
    for what, value in settings.items():
        wanted = int if name == "int_uniform" else int | float
        if isinstance(value, bool) or not isinstance(value, wanted):
            kind = "an integer" if name == "int_uniform" else "a number"
            raise UserError(
                f"{key}: {what} is {value!r}, but {name} needs {kind} (1e-3 is text: write 1.0e-3)"
            )
    _check_ranges(key, name, settings)
    return Parameter(path, name, settings)


def _implied(key: str, given: Settings) -> str:
    """The distribution of a parameter that does not name one."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical_w_probabilities" if "probabilities" in given else "categorical"
    if "min" in given and "max" in given:
        kinds = {type(given["min"]), type(given["max"])}
        if kinds == {int, float}:
            raise UserError(
                f"{key}: min and max are an integer and a fraction: write both alike, or say distribution"
            )
        return "int_uniform" if kinds == {int} else "uniform"
    raise UserError(f"{key}: give it value, values, min and max, or a distribution")


def _discrete(key: str, name: str, given: Settings) -> Settings:
    wanted = {
        "constant": ["value"],
        "categorical": ["values"],
        "categorical_w_probabilities": ["values", "probabilities"],
    }[name]
    _refuse_others(key, name, given, wanted)
    for what in wanted:
        if what not in given:
            raise UserError(f"{key}: {name} needs {what}")
        if what != "value" and (not isinstance(given[what], list) or not given[what]):
            raise UserError(f"{key}: {what} is {given[what]!r}, but must be a list that is not empty")
    shares = given.get("probabilities")
    if shares is not None:
        if not all(isinstance(share, int | float) and share >= 0 for share in shares):
            raise UserError(f"{key}: probabilities are {shares}, but must be numbers from 0 to 1")
        if len(shares) != len(given["values"]) or not math.isclose(sum(shares), 1, rel_tol=1e-5):
            raise UserError(f"{key}: probabilities must be one a value and add up to 1, but are {shares}")
    return given


def _refuse_others(key: str, name: str, given: Settings, known: Any) -> None:
    for what in given:
        if what not in known:
            raise UserError(f"{key}: {name} has no '{what}'; allowed are distribution, {', '.join(known)}")


def _check_ranges(key: str, name: str, s: Settings) -> None:
    if "min" in s and not s["min"] < s["max"]:
        raise UserError(f"{key}: min {s['min']} is not below max {s['max']}")
    if name.endswith("_values") and s["min"] <= 0:
        raise UserError(f"{key}: min is {s['min']}, but {name} needs one above 0")
    if "q" in s and s["q"] <= 0:
        raise UserError(f"{key}: q is {s['q']}, but must be above 0")
    if "sigma" in s and s["sigma"] < 0:
        raise UserError(f"{key}: sigma is {s['sigma']}, but must be at least 0")
    if "a" in s and not (s["a"] > 0 and s["b"] > 0):
        raise UserError(f"{key}: a and b are {s['a']} and {s['b']}, but must be above 0")
