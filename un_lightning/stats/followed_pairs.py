"""Sums of products of chosen pairs of units only, and of ever fewer of them."""

import warnings
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from un_lightning.stats.screening import Screened
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.unit_sums import UnitMoments


GIVEN_UP = ("given_up_left", "given_up_right")
"""Tensors of each side: the largest upper bound of a unit's pairs given up for the floor; -inf without."""

CHUNK = 1 << 26
"""Elements gathered at a time on devices that have no product of chosen pairs."""


class FollowedPairs(Statistic):
    """Σ a_i b_j over tokens for the candidates of both models of a pair, in float64.

    A pair that two units name is followed once. A pair that any rank dropped is dropped; the best partner on
    the sample, the same on every rank, never is, so that ranks that drop other pairs leave each unit one.
    """

    def __init__(self, forward: Screened, backward: Screened, critical: float, floor: float = -1.0) -> None:
        """Follow every candidate that can still be a unit's best.

        Args:
            forward: Candidates of the row model.
            backward: Candidates of the column model.
            critical: Standard errors between an estimate and its bounds.
            floor: Of units whose candidates all have upper bounds below it, only the sample's best is
                followed, from the beginning or from the check that finds it so.
        """
        self.critical, self.floor = critical, floor
        rights = len(backward.partner)
        self.shape = (len(forward.partner), rights)
        left = torch.arange(self.shape[0], device=forward.partner.device)[:, None]
        right = torch.arange(rights, device=left.device)[:, None]
        keys = [
            torch.where(forward.partner >= 0, left * rights + forward.partner, -1),
            torch.where(backward.partner >= 0, backward.partner * rights + right, -1),
        ]
        self._sides = forward, backward
        chosen = [self._choose(side.estimate, side.error) for side in self._sides]
        named = [key[keep & (key >= 0)] for key, (keep, _) in zip(keys, chosen, strict=True)]
        pairs = torch.cat(named).unique()
        self.left, self.right = pairs // rights, pairs % rights
        self.slots = [_slots(pairs, key) for key in keys]
        """For each unit and candidate, which pair it is; -1 where it is not followed."""
        super().__init__(
            {
                "product": torch.zeros(len(pairs), dtype=torch.float64, device=left.device),
                "dropped": torch.zeros(len(pairs), dtype=torch.float32, device=left.device),
                **{name: given_up for name, (_, given_up) in zip(GIVEN_UP, chosen, strict=True)},
            },
            dict.fromkeys(("dropped", *GIVEN_UP), "max"),
        )
        self._select()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from saved tensors."""
        super().load(tensors)
        self._select()

    @property
    def sides(self) -> tuple[Screened, Screened]:
        """Candidates of the row and of the column model; the bounds cover those given up for the floor."""
        one, two = (
            side._replace(rest=torch.maximum(side.rest, self.tensors[name].to(side.rest.dtype)))
            for side, name in zip(self._sides, GIVEN_UP, strict=True)
        )
        return one, two

    def has_given_up(self, side: int) -> Bool[Tensor, " units"]:
        """Units of which a candidate other than the sample's best was given up for the floor, on any rank."""
        return self.tensors[GIVEN_UP[side]] > -torch.inf

    @property
    def active(self) -> int:
        """Pairs that are still followed."""
        return len(self._active)

    def add(self, left: Float[Tensor, "left tokens"], right: Float[Tensor, "right tokens"]) -> None:
        """Add a batch of shifted activations, each unit's tokens side by side."""
        products = pair_products(left, right, self._crow, self._rows, self._columns)
        self.tensors["product"][self._active] += products.double()

    def correlations(self, count: int, left: UnitMoments, right: UnitMoments) -> Float64[Tensor, " pairs"]:
        """Correlation of every followed pair over `count` tokens; -inf where dropped or not defined."""
        mean = self.tensors["product"] / count - left.mean[self.left] * right.mean[self.right]
        value = mean / (left.deviation[self.left] * right.deviation[self.right])
        known = left.valid[self.left] & right.valid[self.right] & (self.tensors["dropped"] == 0)
        return torch.where(known & torch.isfinite(value), value.clamp(-1, 1), -torch.inf)

    def of_candidates(self, side: int, values: Float64[Tensor, " pairs"]) -> Float64[Tensor, "units k"]:
        """Values of each unit's candidates; -inf where one is not followed.

        Args:
            side: 0 for units of the row model, 1 for the column model.
            values: One value a pair.
        """
        slots = self.slots[side]
        if len(values) == 0:
            return torch.full_like(slots, -torch.inf, dtype=torch.float64)
        return torch.where(slots >= 0, values[slots.clamp(min=0)], -torch.inf)

    def drop(self, count: int, left: UnitMoments, right: UnitMoments, shrink: float) -> None:
        """Stop following pairs that can be no unit's best any more, or only the best of one below the floor.

        Args:
            count: Counted tokens that were added.
            left: Moments of the row units over them.
            right: Moments of the column units over them.
            shrink: Standard error over these tokens, as a multiple of that on the sample.
        """
        values = self.correlations(count, left, right)
        wanted = torch.zeros_like(self.left, dtype=torch.bool)
        for side, (screened, name) in enumerate(zip(self._sides, GIVEN_UP, strict=True)):
            keep, given_up = self._choose(self.of_candidates(side, values), screened.error * shrink)
            wanted[self.slots[side][keep & (self.slots[side] >= 0)]] = True
            before = self.tensors[name]
            before.copy_(torch.maximum(before, given_up.to(before.dtype)))
        self.tensors["dropped"][~wanted] = 1
        self._select()

    def _choose(
        self, estimate: Float[Tensor, "units k"], error: Float[Tensor, "units k"]
    ) -> tuple[Bool[Tensor, "units k"], Float[Tensor, " units"]]:
        """Candidates to be followed, and the largest bound of those that are given up for the floor.

        What was dropped before lies below a pair that was followed then, so the bound covers it, too.
        """
        upper = estimate + self.critical * error
        low = upper.amax(1) < self.floor
        keep = contenders(estimate, error, self.critical) & ~low[:, None]
        keep[:, 0] = True
        upper[:, 0] = -torch.inf
        return keep, torch.where(low, upper.amax(1), -torch.inf)

    def _select(self) -> None:
        self._active = (self.tensors["dropped"] == 0).nonzero()[:, 0]
        self._rows, self._columns = self.left[self._active], self.right[self._active]
        counts = torch.bincount(self._rows, minlength=self.shape[0])
        self._crow = torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def contenders(
    estimate: Float[Tensor, "units k"], error: Float[Tensor, "units k"], critical: float
) -> Bool[Tensor, "units k"]:
    """Candidates whose upper bound is not below the best lower bound among them."""
    best = (estimate - critical * error).amax(1, keepdim=True)
    return (estimate + critical * error >= best) & (estimate > -torch.inf)


def pair_products(
    left: Float[Tensor, "left tokens"],
    right: Float[Tensor, "right tokens"],
    crow: Int[Tensor, " left_plus_one"],
    rows: Int[Tensor, " pairs"],
    columns: Int[Tensor, " pairs"],
) -> Float[Tensor, " pairs"]:
    """Dot products of chosen pairs of rows, in float32 at least.

    On the CPU one call computes them all and copies nothing; elsewhere rows are gathered chunk by chunk.

    Args:
        left: Activations of the row units.
        right: Activations of the column units.
        crow: Where each row unit's pairs begin, and the number of pairs.
        rows: Row unit of each pair, ascending.
        columns: Column unit of each pair, ascending for each row unit.
    """
    if left.device.type == "cpu" and left.dtype in (torch.float32, torch.float64):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            zeros = torch.zeros(len(rows), dtype=left.dtype)
            pattern = torch.sparse_csr_tensor(
                crow, columns, zeros, (len(left), len(right)), check_invariants=False
            )
        return torch.sparse.sampled_addmm(pattern, left, right.T).values()
    step = max(1, CHUNK // left.shape[1])
    parts = [
        torch.linalg.vecdot(left[one].float(), right[two].float())
        for one, two in zip(rows.split(step), columns.split(step), strict=True)
    ]
    return torch.cat(parts)


def _slots(pairs: Int[Tensor, " pairs"], keys: Int[Tensor, "units k"]) -> Int[Tensor, "units k"]:
    if len(pairs) == 0:
        return torch.full_like(keys, -1)
    where = torch.searchsorted(pairs, keys.clamp(min=0)).clamp(max=len(pairs) - 1)
    return torch.where((keys >= 0) & (pairs[where] == keys), where, -1)
