"""One member of a family becomes one frozen model."""

from importlib import import_module

import torch
from torch import nn

from un_lightning.config import MemberConfig, ModelsConfig, ModelSource
from un_lightning.errors import UserError
from un_lightning.models.architecture import build_random
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.fused import fuse_activations
from un_lightning.models.pretrained import load_pretrained
from un_lightning.models.sparse_encoder import load_encoder


def load_member(models: ModelsConfig, member: MemberConfig) -> FrozenModel:
    """Load a member from the source that its family names.

    Args:
        models: The family.
        member: The member.

    Returns:
        The model in float32 and evaluation mode, without gradients.

    Raises:
        UserError: The model cannot be found, read or built, or holds weights that are not finite.
    """
    if models.source is ModelSource.random:
        module = build_random(member.name, models.architecture, member.seed or 0)
    elif models.source is ModelSource.loader:
        module = _call_loader(models.loader or "", member)
    else:
        module = load_pretrained(models, member)
    if models.source is not ModelSource.loader:
        fuse_activations(module)
    _refuse_non_finite(member.name, module)
    encoders = [load_encoder(folder, models.allow_pickle) for folder in member.encoders]
    return FrozenModel(member.name, module.float(), models.units, encoders)


def _call_loader(path: str, member: MemberConfig) -> nn.Module:
    package, _, function = path.rpartition(".")
    try:
        load = getattr(import_module(package), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"models.loader='{path}' cannot be imported ({error}); write package.module.function, and have "
            f"the package installed or on PYTHONPATH"
        ) from error
    module = load(member)
    if not isinstance(module, nn.Module):
        raise UserError(
            f"models.loader='{path}' returned {type(module).__name__} for '{member.name}', "
            f"but must return a torch.nn.Module"
        )
    return module


def _refuse_non_finite(name: str, module: nn.Module) -> None:
    for path, weight in module.named_parameters():
        # The extremes show NaN and infinity in one pass and without a mask of the weight's size.
        if weight.numel() and not torch.stack(torch.aminmax(weight.detach())).isfinite().all():
            raise UserError(
                f"model '{name}': weight '{path}' holds NaN or infinite values; the checkpoint is broken or "
                f"its training diverged"
            )
