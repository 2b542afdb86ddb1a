"""A W&B sweep file, read and checked: its own schema, without W&B."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from un_lightning.errors import UserError
from un_lightning.files import reason
from un_lightning.sweeps.distributions import Parameter, parameter


METHODS = ("grid", "random", "bayes")
GOALS = ("minimize", "maximize")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""What W&B runs where the file has no `command`."""

_SEARCH = ("method", "parameters", "metric", "command", "program")
"""What makes a sweep the one that it is: another value begins another sweep."""
_OTHER = ("name", "description", "project", "entity", "run_cap", "early_terminate")
_SERVER = ("controller", "kind", "apiVersion")
"""Keys that concern W&B's server alone."""
_KEY = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True)
class Metric:
    """What a sweep is about: a scalar of `summary.json`."""

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"
    target: float | None = None
    """No new points once one reaches it."""

    def reached(self, value: float) -> bool:
        """Whether a value is as good as the target."""
        if self.target is None:
            return False
        return value >= self.target if self.goal == "maximize" else value <= self.target


@dataclass(frozen=True)
class Sweep:
    """A sweep file."""

    id: str
    """Stem of the file and a hash of what is searched; the folder, and W&B's group of its runs."""
    method: str
    parameters: tuple[Parameter, ...]
    metric: Metric | None
    command: tuple[str, ...]
    program: str | None
    run_cap: int | None
    early_terminate: bool
    text: str
    """The file as it was read."""

    @property
    def seed(self) -> int:
        """Where random search begins: the same file gives the same points."""
        return int(self.id.rpartition("-")[2], 16)


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        UserError: It cannot be read, or is no sweep; the message names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {error}") from error
    try:
        return _sweep(path.stem, text, content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _sweep(stem: str, text: str, content: Any) -> Sweep:
    if not isinstance(content, dict):
        raise UserError("a sweep file holds keys such as method and parameters")
    known = (*_SEARCH, *_OTHER, *_SERVER)
    for key in content:
        if key not in known:
            raise UserError(f"unknown key '{key}'; allowed are {', '.join(known)}")
    method = content.get("method")
    if method not in METHODS:
        raise UserError(f"method is {method!r}, allowed are {', '.join(METHODS)}")
    metric = _metric(content["metric"]) if content.get("metric") is not None else None
    if method == "bayes" and metric is None:
        raise UserError("method bayes needs a metric with a name and a goal")
    parameters = tuple(_parameters(content.get("parameters")))
    if not parameters:
        raise UserError("parameters is missing: what is to be varied?")
    for one in parameters:
        if any(other is not one and other.path[: len(one.path)] == one.path for other in parameters) or (
            sum(other.key == one.key for other in parameters) > 1
        ):
            raise UserError(f"{one.key} is given twice")
        if method == "grid":
            one.grid()
    cap = content.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        raise UserError(f"run_cap is {cap!r}, but must be a whole number, at least 1")
    command = content.get("command", DEFAULT_COMMAND)
    if not isinstance(command, list | tuple) or not command:
        raise UserError("command is no list of words")
    return Sweep(
        id=f"{_slug(stem)}-{_fingerprint(content)}",
        method=method,
        parameters=parameters,
        metric=metric,
        command=tuple(str(word) for word in command),
        program=content.get("program"),
        run_cap=cap,
        early_terminate=_early_terminate(content.get("early_terminate"), metric),
        text=text,
    )


def _metric(entry: Any) -> Metric:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise UserError("metric has no name: write metric: {name: universal/count, goal: maximize}")
    unknown = entry.keys() - {"name", "goal", "target"}
    if unknown:
        raise UserError(f"metric has no '{min(unknown)}'; allowed are name, goal, target")
    goal, target = entry.get("goal", "minimize"), entry.get("target")
    if goal not in GOALS:
        raise UserError(f"metric.goal is {goal!r}, allowed are {', '.join(GOALS)}")
    if target is not None and (isinstance(target, bool) or not isinstance(target, int | float)):
        raise UserError(f"metric.target is {target!r}, but must be a number")
    return Metric(entry["name"], goal, None if target is None else float(target))


def _parameters(entries: Any, above: tuple[str, ...] = ()) -> Iterator[Parameter]:
    """Parameters in the order of W&B's grid: sorted by key, those that are nested in their place."""
    where = ".".join((*above, "parameters"))
    if not isinstance(entries, Mapping) or not entries:
        raise UserError(f"{where} is no mapping from keys to what they may be")
    for name, entry in sorted(entries.items(), key=lambda item: str(item[0])):
        if not isinstance(name, str) or not _KEY.fullmatch(name):
            raise UserError(f"{where}: {name!r} cannot be a key of the config")
        path = (*above, name)
        if not isinstance(entry, Mapping):
            raise UserError(f"{'.'.join(path)}: write value: {entry!r} or values: […]")
        if "parameters" in entry:
            if len(entry) > 1:
                raise UserError(f"{'.'.join(path)}: nested parameters stand alone")
            yield from _parameters(entry["parameters"], path)
        else:
            yield parameter(path, entry)


def _early_terminate(entry: Any, metric: Metric | None) -> bool:
    """Whether the file asks for it; its settings are checked as W&B does."""
    if entry is None:
        return False
    if not isinstance(entry, dict) or entry.get("type") != "hyperband":
        raise UserError("early_terminate.type must be hyperband")
    unknown = entry.keys() - {"type", "min_iter", "max_iter", "s", "eta", "strict"}
    if unknown:
        raise UserError(f"early_terminate has no '{min(unknown)}'")
    if "min_iter" not in entry and not {"max_iter", "s"} <= entry.keys():
        raise UserError("early_terminate needs min_iter, or max_iter and s")
    if metric is None:
        raise UserError("early_terminate needs a metric")
    return True


def _fingerprint(content: Mapping[str, Any]) -> str:
    """Eight digits that stand for what is searched."""
    searched = {key: content[key] for key in _SEARCH if key in content}
    try:
        text = json.dumps(searched, sort_keys=True)
    except TypeError as error:
        raise UserError(f"a value is neither number, text, list nor mapping: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _slug(stem: str) -> str:
    return re.sub(r"[^\w-]+", "-", stem).strip("-") or "sweep"
