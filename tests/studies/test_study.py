"""Parts of a study on several ranks: all take the same run, and none waits for one that is gone."""

import os
import time

import pytest
import torch
import yaml

from tests.processes import finish, free_port, start
from un_lightning.config import Config, EmergenceConfig, TrainerConfig
from un_lightning.results.results import Results
from un_lightning.studies.study import carry_out, make_part


PARTS = ("first", "second")


def finished(folder, plain):
    """Make a folder that passes for a finished run."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    Results(scalars={"analysis": "correlation"}).write(folder)


def study(folder, fail):
    """What each of two ranks does: two parts, of which rank 0 writes the results after the other is done."""
    rank = int(os.environ["LOCAL_RANK"])
    trainer = TrainerConfig(timeout_minutes=30)
    analysis = EmergenceConfig(checkpoints=[1, 2], reuse=False)
    config = Config("study", root=str(folder), analysis=analysis, trainer=trainer)

    def run(config, plain):
        if not torch.distributed.is_initialized():  # as a Trainer does
            torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
        torch.distributed.barrier()
        if rank == 0:
            time.sleep(0.3)
            if fail:
                raise OSError("the disk is full")
            finished(folder / config.name / "2026-01-01_00-00-02", plain)

    for name in PARTS:
        plain = {"name": name, "analysis": {"kind": "correlation", "of": name}}
        part = make_part(config, plain, name, {}, {})
        found = carry_out(config, part, name, run)
        (folder / f"{name}-{rank}.txt").write_text(str(found))


@pytest.fixture
def go(tmp_path):
    """Run a study on two ranks, where older runs of the same parts are finished; returns their exit codes."""

    def call(fail=False):
        for name in PARTS:
            plain = {"name": f"study-{name}", "analysis": {"kind": "correlation", "of": name}}
            finished(tmp_path / f"study-{name}" / "2026-01-01_00-00-01", plain)
        output, port = tmp_path / "output.txt", free_port()
        ranks = [start(study, tmp_path, fail, output=output, rank=n, world=2, port=port) for n in range(2)]
        return finish(*ranks), output.read_text()

    return call


@pytest.mark.slow
def test_every_rank_takes_the_run_that_the_first_has_written(go, tmp_path):
    codes, said = go()
    assert codes == [0, 0], said
    assert said.count("to be run") == 2
    for name in PARTS:
        wanted = str(tmp_path / f"study-{name}" / "2026-01-01_00-00-02")
        assert [(tmp_path / f"{name}-{rank}.txt").read_text() for rank in range(2)] == [wanted] * 2


@pytest.mark.slow
def test_a_first_rank_that_fails_between_parts_ends_the_other(go, tmp_path):
    begun = time.monotonic()
    codes, said = go(fail=True)
    assert 0 not in codes, said
    assert time.monotonic() - begun < 60  # `trainer.timeout_minutes` is 30 minutes
    assert "OSError: the disk is full" in said
    assert not [*tmp_path.glob("*-1.txt")]
