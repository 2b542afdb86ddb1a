"""Rows to columns, one to one, for the largest sum."""

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


Assignment = tuple[Int[Tensor, " matched"], Int[Tensor, " matched"]]
"""Rows, ascending, and the column of each."""


def assign(values: Float[Tensor, "rows columns"], size: int) -> Assignment:
    """Match as many rows and columns as there are, exactly where neither side is larger than `size`."""
    return greedy(values) if max(values.shape) > size else optimal(values)


def optimal(values: Float[Tensor, "rows columns"]) -> Assignment:
    """The assignment with the largest sum, found on the CPU in cubic time."""
    rows, columns = linear_sum_assignment(values.double().cpu().numpy(), maximize=True)
    return torch.from_numpy(rows).to(values.device), torch.from_numpy(columns).to(values.device)


def greedy(values: Float[Tensor, "rows columns"]) -> Assignment:
    """Take the largest value, strike its row and column, and so on.

    Entries that are the largest of both their row and their column are taken at once, which gives the same
    result in far fewer rounds. Where no value is negative the sum is at least half of the largest possible.
    """
    rows = torch.arange(values.shape[0], device=values.device)
    columns = torch.arange(values.shape[1], device=values.device)
    found_rows, found_columns = [], []
    while values.numel():
        column = values.argmax(1)
        taken = values.argmax(0)[column] == torch.arange(len(values), device=values.device)
        if not taken.any():  # equal values, of which a device may find any: the largest row will do
            taken[values.amax(1).argmax()] = True
        chosen = column[taken]
        found_rows.append(rows[taken])
        found_columns.append(columns[chosen])
        left = torch.ones(len(columns), dtype=torch.bool, device=values.device)
        left[chosen] = False
        rows, columns = rows[~taken], columns[left]
        values = values[~taken][:, left]
    if not found_rows:
        return rows[:0], columns[:0]
    first, second = torch.cat(found_rows), torch.cat(found_columns)
    order = first.argsort()
    return first[order], second[order]
