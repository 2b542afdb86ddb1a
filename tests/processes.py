"""Runs in processes of their own, which can be killed: forked from one that has everything imported."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path


_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.imported"])

LIMIT = 300.0
"""Seconds after which a process hangs."""


def start(
    action: Callable[..., None],
    *arguments: object,
    output: Path,
    rank: int = 0,
    world: int = 1,
    port: int = 0,
    nodes: int = 1,
) -> ForkServerProcess:
    """Start a function in another process, perhaps as one rank of several, with what it prints in a file."""
    ranks = rank, world, nodes
    process = _context.Process(target=_child, args=(action, arguments, output, ranks, port))
    process.start()
    return process


def finish(*processes: ForkServerProcess) -> list[int]:
    """Wait for processes; returns their exit codes, minus the signal where one was killed."""
    end = time.monotonic() + LIMIT
    try:
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
        assert all(process.exitcode is not None for process in processes), "a process hangs"
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def wait_until(condition: Callable[[], bool], process: ForkServerProcess | None = None) -> None:
    """Wait for a condition, which a process is to bring about."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        assert process is None or process.is_alive(), f"the process ended with {process.exitcode}"
        time.sleep(0.05)


def signal_at(owner: object, name: str, call: int, number: int, after: bool = False) -> None:
    """Send this process a signal at the n-th call of a method, before it or after it."""
    original, calls = getattr(owner, name), []

    def counted(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == call and not after:
            os.kill(os.getpid(), number)
        result = original(*args, **kwargs)
        if len(calls) == call and after:
            os.kill(os.getpid(), number)
        return result

    setattr(owner, name, counted)


def _child(
    action: Callable[..., None], arguments: tuple, output: Path, ranks: tuple[int, int, int], port: int
) -> None:
    rank, world, nodes = ranks
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if world > 1:
        from pytorch_lightning.utilities import rank_zero_only

        os.environ |= {
            "NODE_RANK": str(rank // (world // nodes)),
            "LOCAL_RANK": str(rank % (world // nodes)),
            "WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        rank_zero_only.rank = rank  # what Lightning reads from the environment when it is imported
    action(*arguments)
