"""The tokens at which every unit is largest (method C.1, C.4)."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from un_lightning.stats.statistic import AllReduce, Statistic


NEVER = -1
"""The place of an example that does not exist."""
_FIRST = 64
"""Tokens that are taken first, as long as nothing is known about what is large."""


class TopExamples(Statistic):
    """The k largest values of each unit and the places of their tokens.

    A place is a number that names a token for good, and of equal values the one with the smallest place comes
    first: the result depends neither on the order of the tokens nor on how they are split. There are fewer
    than k examples where fewer tokens were seen; nothing else ever stands in for them.
    """

    def __init__(self, units: int, k: int, device: torch.device, dtype: torch.dtype) -> None:
        """Allocate.

        Args:
            units: Number of units.
            k: Examples of each.
            device: Where they are.
            dtype: Type of the values that will be added.
        """
        super().__init__(
            {
                "value": torch.full((units, k), -torch.inf, dtype=dtype, device=device),
                "place": torch.full((units, k), NEVER, dtype=torch.int64, device=device),
            }
        )

    @property
    def value(self) -> Float[Tensor, "units k"]:
        """Values in descending order; -∞ where there is no example."""
        return self.tensors["value"]

    @property
    def place(self) -> Int64[Tensor, "units k"]:
        """Place of each example's token, `NEVER` where there is none."""
        return self.tensors["place"]

    def add(
        self, columns: slice, values: Float[Tensor, "tokens units"], places: Int[Tensor, " tokens"]
    ) -> None:
        """Look for larger values among some tokens.

        Once a unit has k examples, hardly any token beats its last one. So units are compared by their
        largest new value first, and single values are looked at only where that one is large enough.

        Args:
            columns: Which units.
            values: Their values. NaN is never an example.
            places: Place of each token.
        """
        for tokens in self._steps(len(values), columns):
            self._add(columns, values[tokens], places[tokens])

    def _steps(self, count: int, columns: slice) -> Iterator[slice]:
        """All tokens at once, but few at first: without k examples every value is large enough."""
        start, step = 0, count
        if count > _FIRST and bool((self.place[columns, -1] == NEVER).any()):
            step = _FIRST
        while start < count:
            yield slice(start, start + step)
            start, step = start + step, 2 * step

    def _add(
        self, columns: slice, values: Float[Tensor, "tokens units"], places: Int[Tensor, " tokens"]
    ) -> None:
        last, where = self.value[columns, -1], self.place[columns, -1]
        largest = values.amax(0)
        hopeful = (largest > last) | ((largest == last) & (places.amin() < where))
        hopeful |= largest.isnan()  # another value of the same unit may be one
        units = hopeful.nonzero().squeeze(1)
        if len(units) == 0:
            return
        part, last, where = values[:, units], last[units], where[units]
        better = (part > last) | ((part == last) & (places[:, None] < where))
        token, column = better.nonzero(as_tuple=True)
        if len(token) > 0:
            self._insert(columns, units[column], part[token, column], places[token])

    def _insert(
        self,
        columns: slice,
        unit: Int[Tensor, " new"],
        value: Float[Tensor, " new"],
        place: Int[Tensor, " new"],
    ) -> None:
        """Merge new examples with the old ones of the same units, and keep the first k of each."""
        units, slot = unit.unique(return_inverse=True)
        values, oldest = self.value[columns], self.place[columns]
        k = values.shape[1]
        slot = torch.cat([torch.arange(len(units), device=unit.device).repeat_interleave(k), slot])
        value = torch.cat([values[units].flatten(), value])
        place = torch.cat([oldest[units].flatten(), place])
        order = place.argsort(stable=True)
        order = order[value[order].argsort(descending=True, stable=True)]
        order = order[slot[order].argsort(stable=True)]
        sizes = slot.bincount(minlength=len(units))
        first = sizes.cumsum(0) - sizes
        kept = order[(first[:, None] + torch.arange(k, device=unit.device)).flatten()]
        values[units] = value[kept].view(-1, k)
        oldest[units] = place[kept].view(-1, k)

    def all_reduce(self, reduce: AllReduce) -> None:
        """Merge over ranks: k times, the best of all ranks' first examples, which its rank then crosses off.

        This needs no memory for the other ranks' examples.
        """
        value, place = self.value.clone(), self.place.clone()
        k = value.shape[1]
        head = torch.zeros(len(value), 1, dtype=torch.int64, device=value.device)
        nowhere = torch.iinfo(torch.int64).max
        for rank in range(k):
            own, at = (tensor.gather(1, head.clamp(max=k - 1)) for tensor in (value, place))
            own = own.masked_fill(head >= k, -torch.inf)
            best = own.clone()
            reduce(best, "max")
            winner = torch.where((own == best) & (own > -torch.inf), at, nowhere)
            mine = winner.clone()
            reduce(winner, "min")
            head += (mine == winner) & (winner < nowhere)
            self.value[:, rank : rank + 1] = best
            self.place[:, rank : rank + 1] = torch.where(winner == nowhere, NEVER, winner)
