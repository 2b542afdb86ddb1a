"""Models from the hub or from a checkpoint folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from un_lightning.config import MemberConfig, ModelsConfig, ModelSource
from un_lightning.errors import UserError
from un_lightning.models.kinds import refuse_checkpoint, refuse_config
from un_lightning.models.paths import BUNDLED, resolve_path
from un_lightning.models.quiet import quiet_transformers


_REFUSALS = (OSError, ValueError, KeyError, TypeError, ArithmeticError, RuntimeError, ImportError)
"""What transformers says to a config that makes no model, or needs a library that is not there."""


def load_pretrained(models: ModelsConfig, member: MemberConfig) -> nn.Module:
    """Load a causal language model of transformers in float32.

    Args:
        models: The family, which says whether pickled weights and remote code are allowed.
        member: The model, by hub id and revision, folder, or `bundled:` folder.

    Returns:
        The model with its language head, on the CPU.

    Raises:
        UserError: The checkpoint is missing, broken, incomplete, or of a kind that the family does not allow.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained
    given = member.path or ""
    path = resolve_path(given)
    on_hub = models.source is ModelSource.hub and not given.startswith(BUNDLED)
    if on_hub:
        _refuse_shadowed(member.name, path)
    else:
        _check_folder(member.name, Path(path), models.allow_pickle)
    try:
        with quiet_transformers(progress=on_hub), _no_conversion_requests():
            module, report = load(
                path,
                revision=member.revision or "main",
                dtype=torch.float32,
                use_safetensors=None if models.allow_pickle else True,
                trust_remote_code=models.allow_remote_code,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (SafetensorError, UnpicklingError, EOFError) as error:
        raise UserError(
            f"model '{member.name}': the weights in '{given}' are broken ({_first_line(error)}); copy or "
            f"download them again"
        ) from error
    except (*_REFUSALS, StrictDataclassError) as error:
        raise UserError(f"model '{member.name}' does not load from '{given}': {_advice(error)}") from error
    refuse_config(member.name, module.config.to_dict())
    _refuse_incomplete(member.name, given, report)
    return module


def _refuse_shadowed(name: str, path: str) -> None:
    if Path(path).is_dir():
        raise UserError(
            f"model '{name}': '{path}' is a folder here, which would be loaded instead of the hub's; "
            f"set models.source=local to load the folder, or run elsewhere"
        )


def _check_folder(name: str, folder: Path, allow_pickle: bool) -> None:
    if not folder.is_dir():
        raise UserError(
            f"model '{name}': there is no folder '{folder}'; correct models.members, or set "
            f"models.source=hub for a hub id"
        )
    if not (folder / "config.json").is_file():
        refuse_checkpoint(name, folder)
        raise UserError(
            f"model '{name}': '{folder}' holds no config.json, so it is no checkpoint of transformers; "
            f"point to the folder that save_pretrained wrote"
        )
    refuse_checkpoint(name, folder)
    if any(folder.glob("*.safetensors")):
        return
    if not any(folder.glob("*.bin")):
        raise UserError(
            f"model '{name}': '{folder}' holds no *.safetensors; point to the folder that save_pretrained "
            f"wrote"
        )
    if not allow_pickle:
        raise UserError(
            f"model '{name}': '{folder}' holds pickled weights only, which can run code when they load; "
            f"save them as safetensors, or set models.allow_pickle=true if you trust them"
        )


def _refuse_incomplete(name: str, given: str, report: dict[str, Any]) -> None:
    """Refuse what transformers would fill with random numbers and mention in a warning."""
    for problem, keys in (
        ("missing", report["missing_keys"]),
        ("of another shape", report["mismatched_keys"]),
    ):
        if keys:
            first = sorted(keys, key=str)[:3]
            raise UserError(
                f"model '{name}': {len(keys)} weights are {problem} in '{given}', such as {first}; the "
                f"checkpoint does not fit its config.json"
            )


def _advice(error: Exception) -> str:
    text = str(error)
    if "trust_remote_code" in text:
        return "it brings code of its own; set models.allow_remote_code=true if you trust it"
    if "use_safetensors" in text:
        return (
            "it has pickled weights only, which can run code when they load; set models.allow_pickle=true if "
            "you trust it"
        )
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def _no_conversion_requests() -> Iterator[None]:
    """Stop transformers from asking a bot to open a pull request for a hub model without safetensors."""
    key = "DISABLE_SAFETENSORS_CONVERSION"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before
