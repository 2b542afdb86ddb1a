"""What belongs to the process, and is left as it was: a notebook goes on after a run."""

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton


@contextmanager
def hydra_unchanged() -> Iterator[None]:
    """Give back Hydra's global state: a program of one's own may be using it."""
    ConfigStore.instance()
    Plugins.instance()  # kept, for finding plugins takes time
    instances: dict[type, Any] = dict(Singleton._instances)
    states = {
        cls: {key: _copied(value) for key, value in vars(one).items()} for cls, one in instances.items()
    }
    try:
        yield
    finally:
        Singleton._instances.clear()
        Singleton._instances.update(instances)
        for kind, state in states.items():
            instances[kind].__dict__.update(state)


@contextmanager
def process_unchanged(command: Sequence[str]) -> Iterator[None]:
    """Give back arguments, environment, signal handlers, loggers and warnings.

    Args:
        command: What `sys.argv` holds in the meantime, for the record of a run.
    """
    arguments, environment, hook = sys.argv, dict(os.environ), sys.excepthook
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    loggers = {one: _logger_state(one) for one in _loggers()}
    sys.argv = list(command)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        sys.argv, sys.excepthook = arguments, hook
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
        for one, (level, propagate, disabled, handlers_of_one) in loggers.items():
            one.setLevel(level)
            one.propagate, one.disabled, one.handlers[:] = propagate, disabled, handlers_of_one


@contextmanager
def torch_unchanged() -> Iterator[None]:
    """Give back threads, random numbers of Python, NumPy and torch, and what Lightning takes for its rank."""
    import numpy as np
    import torch
    from pytorch_lightning.utilities import rank_zero_only

    lightning: Any = rank_zero_only
    threads, kind, gradients = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    rank, python, numpy = getattr(lightning, "rank", 0), random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(kind)
        torch.set_grad_enabled(gradients)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        lightning.rank = rank


def _copied(value: Any) -> Any:
    """A copy down to what is neither dictionary nor list."""
    if isinstance(value, dict):
        whole = copy(value)
        whole.update({key: _copied(item) for key, item in value.items()})
        return whole
    return [_copied(item) for item in value] if type(value) is list else value


def _loggers() -> list[logging.Logger]:
    named = list(logging.Logger.manager.loggerDict.values())
    return [logging.getLogger(), *(one for one in named if isinstance(one, logging.Logger))]


def _logger_state(one: logging.Logger) -> tuple[int, bool, bool, list[logging.Handler]]:
    return one.level, one.propagate, one.disabled, list(one.handlers)
