"""What every streaming statistic has in common: named tensors that add up."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor


CHUNK = 1 << 24
"""Elements that are reduced over the ranks at a time, so that no collective needs a copy of the whole."""

AllReduce = Callable[[Tensor], object]
"""Replaces a tensor by its sum over all ranks, in place."""


class Statistic:
    """Tensors into which batches are added in place.

    Everything that was added so far is in `tensors`, and two statistics over different tokens are merged
    by adding their tensors: that is all that resuming and reducing over ranks need.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def all_reduce(self, reduce: AllReduce) -> None:
        """Add up over ranks, tile by tile and in place; every rank must call this once."""
        for name in sorted(self.tensors):
            for chunk in self.tensors[name].view(-1).split(CHUNK):
                reduce(chunk)

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
