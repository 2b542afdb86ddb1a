"""Rows that ranks fill by themselves are the whole when they are added."""

import pytest
import torch

from un_lightning.stats.filled_rows import FilledRows


COLUMNS = {"norm": ((), torch.float64), "best": ((3,), torch.float32), "index": ((3,), torch.int64)}


def fill(statistic, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    count = rows.stop - rows.start
    values = {
        "norm": torch.rand(count, generator=generator, dtype=torch.float64),
        "best": torch.rand(count, 3, generator=generator),
        "index": torch.randint(0, 1 << 40, (count, 3), generator=generator),
    }
    statistic.fill(rows, values)
    return values


def test_two_ranks_add_up_to_one():
    whole, *ranks = (FilledRows(6, COLUMNS, torch.device("cpu")) for _ in range(3))
    for seed, (rank, rows) in enumerate([(0, slice(0, 2)), (1, slice(2, 5)), (0, slice(5, 6))]):
        fill(whole, rows, seed)
        fill(ranks[rank], rows, seed)
    for tensors in (whole.tensors, ranks[0].tensors):
        tensors["best"][0, 1] = torch.nan
        tensors["best"][1, 2] = -torch.inf
    for name, tensor in whole.tensors.items():
        assert whole.operations.get(name, "sum") == "sum"
        torch.testing.assert_close(ranks[0].tensors[name] + ranks[1].tensors[name], tensor, equal_nan=True)


def test_an_unknown_tensor_is_an_error():
    with pytest.raises(KeyError, match="other"):
        FilledRows(2, COLUMNS, torch.device("cpu")).fill(slice(0, 1), {"other": torch.zeros(1)})
