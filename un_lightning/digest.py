"""What tells tensors apart: one hash over their names, types, shapes and values."""

from collections.abc import Mapping

import torch
import xxhash
from torch import Tensor


def digest(tensors: Mapping[str, Tensor]) -> str:
    """XXH3-128 of named tensors, in hexadecimal, whatever their order and device.

    Args:
        tensors: Of any type and shape.
    """
    found = xxhash.xxh3_128()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        if tensor.numel():
            found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
