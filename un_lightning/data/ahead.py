"""The next batch is read while the current one is computed, by a thread of this process."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch.utils.data import Dataset


class Ahead(Dataset[Any]):
    """Batches in order, each read while the one before it is in use.

    Reading and mapping files release the interpreter, so a thread is enough, and unlike a worker process it
    needs no copy of anything. An error while reading appears when the batch is asked for.
    """

    def __init__(self, batches: Any) -> None:
        """Read ahead in anything that has batches by index and a length."""
        self.batches = batches
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self.next: tuple[int, Future[Any]] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        """The batch of an index; its successor is begun."""
        waiting, self.next = self.next, None
        item = waiting[1].result() if waiting and waiting[0] == index else self.batches[index]
        if index + 1 < len(self.batches):
            self.next = index + 1, self.thread.submit(self.batches.__getitem__, index + 1)
        return item
