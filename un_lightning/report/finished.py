"""Finished runs by what people call them: folders, patterns, experiments, sweeps."""

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from un_lightning.config.nested import flat
from un_lightning.errors import UserError
from un_lightning.results.checksums import verify
from un_lightning.results.newer import refuse_newer
from un_lightning.results.runs import LATEST, SUMMARY, is_finished


CONFIG = "config.yaml"
_PLACES = ("run_dir", "root", "resume")
"""Keys that say where a run lies, not what it computes."""


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder records it."""

    folder: Path
    label: str
    """Short and different for every run of a page: A, B, …"""
    config: dict[str, Any]
    """By keys with dots."""
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """Experiment and folder, such as `tiny/universality/2026-11-22_18-01-42`."""
        return f"{self.config.get('name', self.summary.get('analysis', ''))}/{self.folder.name}".lstrip("/")

    @property
    def analysis(self) -> str:
        """The kind of analysis."""
        return str(self.summary.get("analysis", ""))

    def tables(self) -> dict[str, Path]:
        """Files of its tables by name."""
        return {path.stem: path for path in sorted((self.folder / "tables").glob("*.parquet"))}

    def figures(self) -> dict[str, Path]:
        """Files of its figures by name."""
        return {path.stem: path for path in sorted((self.folder / "figures").glob("*.png"))}


def find_runs(words: list[str], root: Path, check: bool = True) -> list[Run]:
    """Find and read finished runs.

    Args:
        words: Run folders, folders that hold runs, patterns with `*`, names of experiments (their newest
            run) or of sweeps (all points).
        root: The folder of all runs, below which experiments lie.
        check: Compare every file with the hashes that the run wrote; otherwise only config and summary.

    Returns:
        The runs in the order of the words, each once.

    Raises:
        UserError: A word stands for no finished run, or a run cannot be read or is of a newer version.
    """
    folders: dict[Path, Path] = {}
    for word in words:
        found = list(_folders(word, root))
        if not found:
            raise UserError(_nothing_at(word))
        for folder in found:
            folders.setdefault(folder.resolve(), folder)
    return [_read(folder, label(place), check) for place, folder in enumerate(folders.values())]


def label(place: int) -> str:
    """The letters that stand for the run at a place: A, B, … Z, AA, AB and so on."""
    letters = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def _folders(word: str, root: Path) -> Iterator[Path]:
    if glob.has_magic(word):
        for path in sorted(glob.glob(word)) or sorted(glob.glob(str(root / word))):
            yield from _below(Path(path))
        return
    for path in (Path(word).expanduser(), root / word / LATEST, root / word, root / "sweeps" / word):
        if path.is_dir():
            yield from _below(path)
            return
        pointer = path.with_name(f"{LATEST}.txt")  # where symbolic links cannot be made
        if path.name == LATEST and pointer.is_file():
            yield from _below(path.with_name(pointer.read_text(encoding="utf-8").strip()))
            return


def _below(folder: Path) -> Iterator[Path]:
    """A run, or else the finished runs right below, or one level further down."""
    if not folder.is_dir() or (folder.name == LATEST and folder.is_symlink() and not is_finished(folder)):
        return
    if is_finished(folder) and (folder / CONFIG).is_file():
        yield folder
        return
    for depth in ("*", "*/*", "*/*/*"):
        inside = sorted(path for path in folder.glob(depth) if path.name != LATEST and is_finished(path))
        runs = [path for path in inside if (path / CONFIG).is_file()]
        if runs:
            yield from runs
            return


def _nothing_at(word: str) -> str:
    folder = Path(word).expanduser()
    if (folder / CONFIG).is_file():
        return f"{word}: there is no finished run yet; go on with resume={folder}"
    return f"{word}: there is no finished run; give run folders, a pattern or an experiment"


def _read(folder: Path, name: str, check: bool) -> Run:
    verify(folder, None if check else [SUMMARY])
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"the run {folder} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(summary, dict):
        raise UserError(f"the run {folder} cannot be read: its config or summary holds no keys")
    refuse_newer(folder, summary)
    keys = {key: value for key, value in flat(config) if key not in _PLACES}
    return Run(folder, name, keys, summary)
