"""Several ranks in one process: a thread each, with reductions that wait for all of them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch


def merge(statistics):
    """Let every statistic be one rank's, and reduce them as the strategy would."""
    ranks = len(statistics)
    barrier = threading.Barrier(ranks, timeout=20)
    shared = [torch.empty(0)] * ranks
    operations = {"sum": torch.sum, "min": torch.amin, "max": torch.amax}

    def reduce_as(rank):
        def reduce(tensor, operation):
            shared[rank] = tensor.clone()
            barrier.wait()
            whole = operations[operation](torch.stack(shared), dim=0)
            barrier.wait()
            tensor.copy_(whole)

        return reduce

    with ThreadPoolExecutor(ranks) as pool:
        jobs = [pool.submit(own.all_reduce, reduce_as(rank)) for rank, own in enumerate(statistics)]
    for job in jobs:
        job.result()


def continued(statistic, fresh):
    """What goes on from the saved tensors of another."""
    fresh.load({name: tensor.clone() for name, tensor in statistic.tensors.items()})
    return fresh


def heavy(tokens=700, units=24, seed=0):
    """Values with large offsets, heavy tails, ties, and columns that are constant or never positive."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    values = normal(tokens, units) / normal(tokens, units).square().add(0.3)
    values = values * (1 + torch.arange(units) % 3) + 10 * normal(units)
    values[:, 0] = 2.5
    values[:, 1] = -values[:, 1].abs()
    values[:, 2] = values[:, 2].round()
    values[:, 3] = 1000 + values[:, 3]
    values[:, 4] = 0
    return values.float()


def splits(count, sizes):
    """Slices of the given sizes, over and over, that cover `count` rows."""
    start, step = 0, 0
    while start < count:
        stop = min(count, start + sizes[step % len(sizes)])
        yield slice(start, stop)
        start, step = stop, step + 1
