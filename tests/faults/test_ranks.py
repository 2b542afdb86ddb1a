"""A rank that dies by an error of its own ends the others, soon, and its error is what is shown."""

import time

import pytest
import torch

from tests.faults.table import run
from tests.processes import finish, free_port, start
from un_lightning.analyses.base import Analysis


def dying(analysis, store, folder, rank, batch):
    """What each of two processes does; one of them fails in a batch of its own."""
    torch.set_num_threads(1)
    original, calls = Analysis.validation_step, []

    def step(self, batch_, index):
        calls.append(index)
        if rank == self.trainer.global_rank and len(calls) == batch:
            raise ZeroDivisionError("this rank is out of luck")
        return original(self, batch_, index)

    Analysis.validation_step = step
    trainer = {"strategy": "ddp", "devices": 2, "timeout_minutes": 0.1}
    changes = {f"trainer__{key}": value for key, value in trainer.items()}
    run(analysis, store, run_dir=folder, trainer__save_minutes=0.0, **changes)


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_other(store, tmp_path):
    port, output = free_port(), tmp_path / "output.txt"
    begun = time.monotonic()
    arguments = "exact", store, str(tmp_path / "mine"), 1, 2
    ranks = [start(dying, *arguments, output=output, rank=own, world=2, port=port) for own in range(2)]
    codes = finish(*ranks)
    said = output.read_text()
    assert 0 not in codes, said
    assert time.monotonic() - begun < 120
    assert "ZeroDivisionError: this rank is out of luck" in said
    assert not (tmp_path / "mine" / "summary.json").exists()
    assert (tmp_path / "mine" / "partial" / "pass0" / "rank1.json").exists()
