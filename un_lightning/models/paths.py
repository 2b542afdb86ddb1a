"""Where `bundled:` and home-relative paths lead."""

from pathlib import Path

import un_lightning
from un_lightning.errors import UserError


BUNDLED = "bundled:"


def resolve_path(path: str) -> str:
    """Turn a path of a config into one that Hugging Face loads from.

    Args:
        path: `bundled:<folder>` for a folder that is shipped with the package, a folder, or a hub id.

    Returns:
        The bundled folder's place, the folder with `~` expanded, or the hub id as it is.

    Raises:
        UserError: The package ships no such folder.
    """
    if not path.startswith(BUNDLED):
        return str(Path(path).expanduser()) if path.startswith("~") else path
    families = Path(un_lightning.__file__).parent / "families"
    folder = families / path.removeprefix(BUNDLED)
    if not folder.is_dir():
        shipped = sorted(str(config.parent.relative_to(families)) for config in families.rglob("config.json"))
        raise UserError(
            f"'{path}' is not shipped with un-lightning; shipped are {', '.join(shipped) or 'none'}"
        )
    return str(folder)
