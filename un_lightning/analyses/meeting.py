"""Ranks meet where a pass ends; what is said when one does not come."""

from collections.abc import Iterator
from contextlib import contextmanager

from un_lightning.errors import UserError


@contextmanager
def meeting(rank: int) -> Iterator[None]:
    """Say which rank waited in vain, where torch says which line of its transport did.

    On GPUs NCCL's watchdog ends the process by itself, with a message of its own.

    Args:
        rank: This process.

    Raises:
        UserError: The wait inside took longer than `trainer.timeout_minutes`.
    """
    try:
        yield
    except RuntimeError as error:
        if "timed out waiting" not in str(error).lower():
            raise
        raise UserError(
            f"rank {rank} waited at the end of a pass for longer than trainer.timeout_minutes: another rank "
            "hangs, or is much slower. What the ranks saved stands: resume=auto goes on from there"
        ) from error
