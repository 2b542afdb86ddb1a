"""Seconds spent in named parts of a program."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """Adds up seconds by the name of the part.

    On CUDA the device is waited for at the beginning and at the end of a part.
    """

    def __init__(self, device: torch.device, processor: bool = False) -> None:
        """Begin with nothing.

        Args:
            device: What the parts run on.
            processor: On the CPU, count processor seconds, which other programs on the machine hardly change.
        """
        self.device = device
        self.processor = processor and device.type != "cuda"
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        """Seconds since some moment."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.processor else time.perf_counter()

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add what happens inside to a part."""
        begun = self.now()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + self.now() - begun

    def timed(self, part: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """The same action, its time added to a part."""

        def run(*arguments: Any, **named: Any) -> Any:
            with self(part):
                return action(*arguments, **named)

        return run

    def once(self, action: Callable[[], Any]) -> float:
        """Seconds of one action."""
        begun = self.now()
        action()
        return self.now() - begun


def by_turns(actions: dict[str, Callable[[], Any]], rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Seconds of each action in each round, all actions in turn, so that a busy machine slows all alike.

    A first round, in which memory is taken and kernels are chosen, is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            spent = clock.once(action)
            if turn:
                seconds[name].append(spent)
    return seconds
