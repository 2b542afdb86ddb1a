"""Results of a newer un-lightning may mean something that this one does not know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from un_lightning import __version__
from un_lightning.errors import UserError


_NAMES = ("un_lightning", "un-lightning")


def refuse_newer(folder: Path, summary: Mapping[str, Any]) -> None:
    """Refuse a summary that says that a newer version wrote it; one that says nothing is older, and passes.

    Args:
        folder: The run folder, for the message.
        summary: What its summary holds; `versions` names the versions of packages.

    Raises:
        UserError: The version is newer than this one.
    """
    versions = summary.get("versions")
    found = next((versions[name] for name in _NAMES if name in versions), None) if versions else None
    try:
        newer = found is not None and Version(str(found)).release > Version(__version__).release
    except InvalidVersion:
        return
    if newer:
        raise UserError(
            f"the run {folder} is of un-lightning {found}, and this is {__version__}: install that version "
            "or a later one to open it"
        )
