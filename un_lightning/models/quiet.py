"""Silence for the messages of transformers that tell nobody anything."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers(progress: bool = False) -> Iterator[None]:
    """Hide warnings of transformers while the block runs, and restore everything afterwards.

    What those warnings could say is checked by this package and raised as an error instead.

    Args:
        progress: Keep progress bars, which are news while a model is downloaded.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    hide_bars = not progress and logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if hide_bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if hide_bars:
            logging.enable_progress_bar()
