"""What every streaming statistic has in common: named tensors that add up."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor


CHUNK = 1 << 24
"""Elements that are reduced over the ranks at a time, so that no collective needs a copy of the whole."""

AllReduce = Callable[[Tensor, str], object]
"""Replaces a tensor by its combination over all ranks, in place; the second argument is sum, min or max."""


class Statistic:
    """Tensors into which batches are added in place.

    Everything that was added so far is in `tensors`, and two statistics over different tokens are merged
    tensor by tensor: that is all that resuming and reducing over ranks need.
    """

    def __init__(self, tensors: Mapping[str, Tensor], operations: Mapping[str, str] | None = None) -> None:
        """Name the tensors.

        Args:
            tensors: All state, on the device of the batches.
            operations: How tensors merge, `sum`, `min` or `max`; those not named are sums.
        """
        self.tensors = dict(tensors)
        self.operations = dict(operations or {})

    @property
    def bytes(self) -> int:
        """What the tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def all_reduce(self, reduce: AllReduce) -> None:
        """Merge over ranks, tile by tile and in place; every rank must call this once."""
        for name in sorted(self.tensors):
            for chunk in self.tensors[name].view(-1).split(CHUNK):
                reduce(chunk, self.operations.get(name, "sum"))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from saved tensors.

        Raises:
            KeyError: A tensor is missing.
        """
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])


def named_tensors(statistics: Mapping[str, Statistic]) -> Iterator[tuple[str, Tensor]]:
    """All tensors of several statistics as `statistic/tensor`, in a fixed order."""
    for owner in sorted(statistics):
        for name in sorted(statistics[owner].tensors):
            yield f"{owner}/{name}", statistics[owner].tensors[name]
