"""The verb `list`: what there is to choose from, and what has been run."""

import argparse
import json
import os
from pathlib import Path

from un_lightning.commands.questions import question
from un_lightning.compose import config_folders
from un_lightning.config import MeasureName, registry
from un_lightning.entry_points import find_extensions
from un_lightning.errors import UserError
from un_lightning.mistakes import experiments
from un_lightning.results.runs import SUMMARY
from un_lightning.terminal import fail, note, say, warn


NEWEST = 10
"""Finished runs that are shown unless all are asked for."""
_DEPTH = 4
"""Folders between the root and a run: an experiment's name may hold slashes."""


def main(argv: list[str]) -> int:
    """Print what the arguments ask for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="un-lightning list",
        description="Names to choose from: experiments with their questions, studies, families of models, "
        "labels, measures, and finished runs.",
    )
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"{', '.join(SECTIONS)}; all where nothing is named"
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the folder of all runs")
    parser.add_argument("--config-dir", type=Path, help="a folder of your own configs, listed too")
    parser.add_argument("--all", action="store_true", help=f"all finished runs, not the {NEWEST} newest")
    arguments = parser.parse_args(argv)
    unknown = [word for word in arguments.what if word not in SECTIONS]
    if unknown:
        fail(f"there is nothing called '{unknown[0]}' to list; known are {', '.join(SECTIONS)}")
        return 2
    own = arguments.config_dir
    if own is not None and not own.is_dir():
        fail(f"--config-dir {own} is no folder")
        return 2
    try:
        folders = [*config_folders(), *([own] if own else [])]
        for problem in registry.problems():
            warn(problem)
        for name in arguments.what or SECTIONS:
            lines = _lines(name, folders, arguments)
            say(f"{name}:\n" + "\n".join(f"  {line}" for line in lines or ["none"]) + "\n")
    except UserError as error:
        fail(str(error))
        return 2
    return 0


def _lines(name: str, folders: list[Path], arguments: argparse.Namespace) -> list[str]:
    if name == "runs":
        return _runs(arguments.root, arguments.all)
    if (
        name == "labels" and name not in arguments.what
    ):  # their functions come with torch, which takes seconds
        return ["un-lightning list labels shows them"]
    return SECTIONS[name](folders)


def _experiments(folders: list[Path]) -> list[str]:
    names = experiments(folders)
    width = max(map(len, names), default=0)
    return [f"{name:{width}}  {question(name, folders)}".rstrip() for name in names]


def _studies(_: list[Path]) -> list[str]:
    described = [(kind, registry.package(kind)) for kind in registry.kinds()]
    return [f"{kind} (from {package})" if package else kind for kind, package in described]


def _families(folders: list[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in (folder / "models").glob("*.yaml")})


def _labels(_: list[Path]) -> list[str]:
    note("reading the labels …")
    from un_lightning.labels.registry import known_labels

    counted = [f"{kind} ({len(names)})" for kind, names in sorted(known_labels().items())]
    return counted + sorted(find_extensions("un_lightning.labels").extensions)


def _measures(_: list[Path]) -> list[str]:
    ours = [str(name) for name in MeasureName]
    return [*ours, *sorted(find_extensions("un_lightning.measures", frozenset(ours)).extensions)]


def _runs(root: Path, whole: bool) -> list[str]:
    found = [path for depth in range(1, _DEPTH + 1) for path in root.glob("*/" * depth + SUMMARY)]
    found = [path for path in found if not path.parent.is_symlink()]
    found.sort(key=os.path.getmtime, reverse=True)
    shown = found if whole else found[:NEWEST]
    more = len(found) - len(shown)
    return [_run(path) for path in shown] + ([f"… and {more} more: --all"] if more else [])


def _run(path: Path) -> str:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        kind = summary.get("analysis", "") if isinstance(summary, dict) else "damaged summary"
    except (OSError, ValueError):
        kind = "damaged summary"
    return f"{path.parent}  {kind}".rstrip()


SECTIONS = {
    "experiments": _experiments,
    "studies": _studies,
    "families": _families,
    "labels": _labels,
    "measures": _measures,
    "runs": lambda _: [],
}
"""What can be listed, and how its lines are made from the folders of configs."""
