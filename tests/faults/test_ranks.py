"""A rank that dies by an error of its own ends the others, soon, and its error is what is shown."""

import time
from types import SimpleNamespace

import pytest
import torch

from tests.faults import table
from tests.processes import finish, free_port, start
from un_lightning.analyses.base import Analysis


LIMIT = 60.0
"""Seconds within which all ranks are gone, on a busy machine; `trainer.timeout_minutes` is 30 minutes."""
DEEPER = {"weights": {"models__architecture__n_layer": 4}}
"""A batch of the analysis of weights is a layer, and each rank shall have two."""


def dying(config, analysis, store, folder, rank, place, call):
    """What each of two processes does; in one of them the n-th call of a method of the analysis fails."""
    torch.set_num_threads(1)
    table._composed[analysis] = config  # Hydra takes longer than the run
    original, calls = getattr(Analysis, place), []

    def method(self, *arguments):
        calls.append(place)
        if rank == self.trainer.global_rank and len(calls) == call:
            raise ZeroDivisionError("this rank is out of luck")
        return original(self, *arguments)

    setattr(Analysis, place, method)
    trainer = {"strategy": "ddp", "devices": 2, "save_minutes": 0.0}
    changes = {f"trainer__{key}": value for key, value in trainer.items()} | DEEPER.get(analysis, {})
    table.run(analysis, store, run_dir=folder, **changes)


@pytest.fixture
def die(store, tmp_path):
    """Run an analysis on two ranks, of which one dies; returns exit codes, output, seconds and folder."""

    def call(analysis, rank, place, call):
        config, port, output = table.composed(analysis), free_port(), tmp_path / "output.txt"
        arguments = config, analysis, store, str(tmp_path / "mine"), rank, place, call
        begun = time.monotonic()
        ranks = [start(dying, *arguments, output=output, rank=own, world=2, port=port) for own in range(2)]
        codes = finish(*ranks)
        seconds = time.monotonic() - begun
        return SimpleNamespace(
            codes=codes, said=output.read_text(), seconds=seconds, folder=tmp_path / "mine"
        )

    return call


def assert_ended(dead):
    """Both ranks failed, in time, and the error of the one that died is shown."""
    assert 0 not in dead.codes, dead.said
    assert dead.seconds < LIMIT
    assert "ZeroDivisionError: this rank is out of luck" in dead.said
    assert not (dead.folder / "summary.json").exists()


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_other(analysis, die):
    """In its second batch, when the other one soon waits for it to add up."""
    dead = die(analysis, rank=1, place="validation_step", call=2)
    assert_ended(dead)
    assert (dead.folder / "partial" / "pass0" / "rank1.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["pilot", "validation_step", "on_validation_epoch_end"])
def test_a_first_rank_that_fails_ends_the_other(die, place):
    """Before the other ranks know what to do, in its batches, and when sums are about to be added up."""
    assert_ended(die("exact", rank=0, place=place, call=1))
