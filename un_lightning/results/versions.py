"""Which software a run was made with: recorded with its config and its results, and compared by nobody."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from un_lightning import __version__


_OTHERS = ("torch", "transformers")


@cache
def versions() -> dict[str, str]:
    """Versions of un-lightning, torch and transformers, and the git commit of a checkout.

    A commit ends in `-dirty` where files differ from it. Nothing is imported.
    """
    found = {"un-lightning": __version__}
    for name in _OTHERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _commit(Path(__file__).parents[2])
    return found | ({"commit": commit} if commit else {})


def comment() -> str:
    """The same as a comment of a YAML file, which whoever reads the values does not see."""
    return "".join(f"# {name}: {value}\n" for name, value in versions().items())


def _commit(folder: Path) -> str | None:
    """The commit of the checkout that `folder` is the top of; None for an installed package."""
    if not (folder / ".git").exists():
        return None
    describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
