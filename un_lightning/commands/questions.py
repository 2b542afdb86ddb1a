"""The question of an experiment: a comment `# Question: …` at the top of its YAML file."""

from collections.abc import Iterable
from pathlib import Path


_MARK = "# Question:"


def question(name: str, folders: Iterable[Path]) -> str:
    """What an experiment asks, in one line; empty where its file does not say.

    Args:
        name: Of the experiment, such as `tiny/universality`.
        folders: The config folders; the first that has the experiment is read.
    """
    for folder in folders:
        path = folder / "experiment" / f"{name}.yaml"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        return next((line.removeprefix(_MARK).strip() for line in lines if line.startswith(_MARK)), "")
    return ""
