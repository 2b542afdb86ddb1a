"""Finished runs that answer a question already, whatever name they ran under."""

from pathlib import Path
from typing import Any

import yaml

from un_lightning.errors import UserError
from un_lightning.models.paths import BUNDLED, resolve_path
from un_lightning.results.results import read_summary
from un_lightning.results.runs import SUMMARY
from un_lightning.running.record import CONFIG, FREE_TO_RESUME, FreeKeys, differences


FREE_TO_REUSE: FreeKeys = {
    **FREE_TO_RESUME,
    "name": None,
    "trainer": None,
    "data": ("workers", "store", "batch_size"),
}
"""What may differ in a run whose results are taken: devices and batches change no more than rounding."""


def finished_run(root: Path | str, plain: dict[str, Any], *more: Path) -> Path | None:
    """Find the newest finished run of a config.

    A run is not taken if its local models or texts were written after it began.

    Args:
        root: The folder of all runs.
        plain: The config as plain values.
        more: Further run folders to look at.

    Returns:
        The run folder; None if there is no such run.
    """
    summaries = [*Path(root).glob(f"*/*/{SUMMARY}"), *Path(root).glob(f"*/*/*/{SUMMARY}")]
    folders = {path.parent for path in summaries if not path.parent.is_symlink()} | {*more}
    changed = _last_change(plain)
    alike = [folder for folder in folders if _answers(folder, plain, changed)]
    return max(alike, key=lambda folder: (folder / SUMMARY).stat().st_mtime, default=None)


def _answers(folder: Path, plain: dict[str, Any], changed: float) -> bool:
    try:
        # The summary names the analysis and is read quickly; most runs are another one's.
        if read_summary(folder).get("analysis") != plain["analysis"]["kind"]:
            return False
        return (folder / CONFIG).stat().st_mtime > changed and not differences(folder, plain, FREE_TO_REUSE)
    except (OSError, UserError, yaml.YAMLError):
        return False  # what cannot be read answers nothing


def _last_change(plain: dict[str, Any]) -> float:
    """When the newest of the local files that a config reads was written; 0 where it reads none."""
    paths = [plain.get("data", {}).get("path")]
    paths += [member.get("path") for member in (plain.get("models") or {}).get("members", [])]
    newest = 0.0
    for path in paths:
        if path is None:
            continue
        place = Path(resolve_path(path)) if path.startswith(BUNDLED) else Path(path).expanduser()
        files = [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
        newest = max([newest, *(file.stat().st_mtime for file in files if file.exists())])
    return newest
