"""How much memory a device has to spare, and how the host's is kept."""

import ctypes
import resource
import sys
from pathlib import Path

import psutil
import torch


CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take."""

SHARE = 0.9
"""Share of the free memory that is used where nobody names another figure; the rest is left to the models'
forward passes and the allocator."""

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's settings (malloc.h)."""
KEPT, MAPPED = 1 << 30, 1 << 27
"""Free memory that a process keeps, and blocks so large that they are given back at once, in bytes."""


def keep_freed_memory() -> None:
    """Let this process keep freed memory for the next batch.

    Every forward pass takes and frees the same hundreds of megabytes. What glibc gives back in between, the
    system must clear page by page when it is taken again. Large blocks, such as accumulators, still go back,
    unless they found room in what was kept. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(TRIM_THRESHOLD, KEPT)
    mallopt(MMAP_THRESHOLD, MAPPED)


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on a device, by all of its processes together.

    Args:
        device: A CUDA device, or the CPU, whose memory a container may limit.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + kept
    return min(psutil.virtual_memory().available, _container_free())


def budget_bytes(memory_gb: float | None, device: torch.device, processes: int) -> int:
    """Bytes that a process may plan with.

    Args:
        memory_gb: What it was allowed, in 10⁹ bytes; None for most of what is free.
        device: Where.
        processes: Processes that share what is free.
    """
    return int(memory_gb * 1e9) if memory_gb else int(SHARE * free_bytes(device) / processes)


def taken_bytes(device: torch.device) -> int:
    """Bytes that the tensors on a CUDA device take, or this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def peak_bytes(device: torch.device) -> int:
    """The most bytes so far that tensors took on a CUDA device, or this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _container_free() -> int:
    """What is left of a container's limit; where there is none, as much as there could be."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return psutil.virtual_memory().total
    return psutil.virtual_memory().total if limit == "max" else max(0, int(limit) - used)
