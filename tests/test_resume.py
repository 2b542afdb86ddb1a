"""A run that was interrupted, however and whenever, goes on to the result of one that was not."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from tests.processes import children, finish, free_port, signal_at, start, wait_until
from tests.text import write_text
from un_lightning import cli
from un_lightning.analyses.correlation_memory import batch_bytes, lasting_bytes, tile_bytes
from un_lightning.config import CorrelationConfig, Site
from un_lightning.models.units import Units


BATCHES = 8
"""Batches of four blocks in the one-process runs; two ranks have as many of two blocks each."""

KILL = signal.SIGKILL


def run(argv: list[str], interruption: tuple[str, int, int] | None = None) -> None:
    """What a process does: one run, which is sent a signal at a call of one of its functions."""
    from un_lightning import callbacks, partial
    from un_lightning.analyses.base import Analysis
    from un_lightning.stats.cross_product import CrossProduct
    from un_lightning.stats.unit_sums import UnitSums

    if interruption is not None:
        place, call, number = interruption
        owner, name, after = {
            "in a batch": (
                UnitSums,
                "add",
                False,
            ),  # of three members, so some sums have it and others do not
            "in a product": (CrossProduct, "add", False),
            "before saving": (callbacks, "save_partial", False),
            "while saving": (partial, "atomic_write", False),  # the tensors are there, the position is not
            "after saving": (callbacks, "save_partial", True),
            "at the end": (Analysis, "on_validation_epoch_end", False),
        }[place]
        signal_at(owner, name, call, number, after)
    sys.argv = [str(Path(__file__).parent.parent / "experiments" / "run.py"), *argv]
    cli.launch("run", argv)


class Runs:
    """Runs of one small experiment in one folder."""

    def __init__(self, folder: Path, data: list[str], world: int = 1, nodes: int = 1) -> None:
        self.root, self.world, self.nodes = folder / "runs", world, nodes
        self.output = folder / "output.txt"
        trainer = "cpu" if world == 1 else "ddp_cpu"
        self.argv = [
            "experiment=tiny/universality", "models=random_tiny", "data.part=all", "data.context=32",
            f"data.tokens={BATCHES * 4 * 32}", f"data.batch_size={4 // world}", "logger=none", "name=resumed",
            "analysis.candidates=128", f"trainer={trainer}", "trainer.threads=1", f"root={self.root}", *data,
        ]  # fmt: skip

    def go(self, *more: str, interruptions=(None,), save_minutes: float = 0) -> list[int]:
        """Run all ranks to their ends; returns their exit codes."""
        self.output.unlink(missing_ok=True)
        argv = [*self.argv, f"trainer.save_minutes={save_minutes}", *more]
        port = free_port()
        return finish(
            *(
                start(
                    run,
                    argv,
                    interruption,
                    output=self.output,
                    rank=rank,
                    world=self.world,
                    port=port,
                    nodes=self.nodes,
                )
                for rank, interruption in enumerate(interruptions)
            )
        )

    @property
    def folders(self) -> list[Path]:
        return sorted((self.root / "resumed").glob("2*"))

    def position(self, rank: int) -> int | None:
        """Batches of a rank that are saved."""
        for meta in self.root.glob(f"resumed/2*/partial/pass*/rank{rank}.json"):
            return json.loads(meta.read_text())["position"]
        return None


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The overrides that read a small file."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    write_text(path)
    return ["data=files", f"data.path={path}", "data.subset_column=subset", "data.min_characters=0"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, text):
    """The run that nothing interrupts."""
    runs = Runs(tmp_path_factory.mktemp("whole"), text)
    assert runs.go() == [0], runs.output.read_text()
    return runs.folders[0]


def assert_same_results(folder: Path, other: Path) -> None:
    """Equal to 1e-6: float32 sums of a thousand products in another order differ by less than that."""
    names = sorted(path.name for path in (other / "tables").iterdir())
    assert sorted(path.name for path in (folder / "tables").iterdir()) == names
    for name in names:
        found, wanted = (pd.read_parquet(path / "tables" / name) for path in (folder, other))
        pd.testing.assert_frame_equal(found, wanted, rtol=0, atol=1e-6)
    found, wanted = (json.loads((path / "summary.json").read_text()) for path in (folder, other))
    assert found.keys() == wanted.keys()
    measured = {"seconds", "tokens_per_second", "memory/peak_gb", "memory/planned_gb"}
    for key in found.keys() - measured - {"world_size", "passes"}:
        if isinstance(found[key], float):
            np.testing.assert_allclose(found[key], wanted[key], rtol=0, atol=1e-6, err_msg=key)
        else:
            assert found[key] == wanted[key], key


def assert_same_sums(folder: Path, other: Path) -> None:
    """What does not depend on the number of ranks; intervals do, for each rank makes its own groups."""
    found, wanted = (pd.read_parquet(path / "tables" / "neurons.parquet") for path in (folder, other))
    columns = [f"{which}_{what}" for which in ("max", "mean", "min") for what in ("corr", "baseline")]
    columns = ["model", "layer", "neuron", "valid", "universal", "excess_corr", "baseline_stderr", *columns]
    pd.testing.assert_frame_equal(found[columns], wanted[columns], rtol=0, atol=1e-6)
    found, wanted = (json.loads((path / "summary.json").read_text()) for path in (folder, other))
    for key in (
        "universal/count",
        "neurons/invalid",
        "tokens",
        "excess/mean",
        "max_corr/mean",
        "baseline/mean",
    ):
        np.testing.assert_allclose(found[key], wanted[key], rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.slow
def test_killed_at_every_kind_of_moment(tmp_path, text, whole):
    runs = Runs(tmp_path, text)
    moments = [
        (("in a batch", 1, KILL), None),
        (("in a batch", 5, KILL), 1),  # two of three members have the second batch
        (("while saving", 3, KILL), 3),
        (("before saving", 1, KILL), 3),
        (("after saving", 2, KILL), 5),
        (("at the end", 1, KILL), BATCHES),
    ]
    for interruption, position in moments:
        assert runs.go("resume=auto", interruptions=[interruption]) == [-KILL], runs.output.read_text()
        assert (interruption, runs.position(0)) == (interruption, position)
    assert runs.go("resume=auto") == [0], runs.output.read_text()
    (folder,) = runs.folders
    assert f"going on with {folder}" in runs.output.read_text()
    assert_same_results(folder, whole)
    assert not (folder / "partial").exists()
    assert os.readlink(runs.root / "resumed" / "latest") == folder.name


@pytest.mark.slow
def test_asked_to_stop(tmp_path, text, whole):
    """The state is saved after the batch though it is not due, and the message says how to go on."""
    runs = Runs(tmp_path, text)
    position = 0
    for number, batches in ((signal.SIGTERM, 2), (signal.SIGINT, 3)):
        interruption = ("in a batch", 3 * batches - 1, number)
        assert runs.go("resume=auto", interruptions=[interruption], save_minutes=60) == [128 + number]
        position += batches
        assert runs.position(0) == position
        said = runs.output.read_text()
        (folder,) = runs.folders
        assert f"{number.name}: saving after this batch\n" in said
        assert f"stopped; go on with: resume=auto (or resume={folder})\n" in said
        assert "Traceback" not in said
    assert runs.go(f"resume={folder}", save_minutes=60) == [0]
    assert_same_results(folder, whole)


@pytest.fixture
def long_store(tmp_path):
    """Overrides that read so many blocks that a run can be watched meanwhile."""
    tokens = np.random.default_rng(0).integers(1, 4096, (2000, 32), dtype=np.int32)
    Dataset.from_dict({"tokens": list(tokens)}).save_to_disk(str(tmp_path / "store"))
    return ["data=store", f"data.path={tmp_path}/store", "data.batch_size=1", "data.tokens=64000"]


@pytest.mark.slow
def test_ranks_that_lightning_starts(tmp_path, long_store, capsys):
    """Rank 1 ends when rank 0 is killed, saves when rank 0 is asked to stop, and nobody else may write."""
    runs = Runs(tmp_path, long_store, world=2)
    argv = [*runs.argv, "trainer.save_minutes=0"]
    first = start(run, argv, output=runs.output)
    wait_until(lambda: runs.position(1) is not None and runs.position(0) is not None, first)
    (folder,) = runs.folders
    with pytest.raises(SystemExit):
        cli.launch("run", [*argv, f"resume={folder}"])
    assert f"another run is writing to {folder}" in capsys.readouterr().err
    (other,) = children(first.pid)
    first.kill()
    wait_until(lambda: not Path(f"/proc/{other}").exists())
    before = [runs.position(rank) for rank in range(2)]
    assert 0 < max(before) < 1000

    second = start(run, [*argv, "resume=auto"], output=runs.output)
    wait_until(lambda: all(runs.position(rank) > before[rank] for rank in range(2)), second)
    (other,) = children(second.pid)
    os.kill(second.pid, signal.SIGTERM)
    assert finish(second) == [128 + signal.SIGTERM]
    wait_until(lambda: not Path(f"/proc/{other}").exists())
    said = runs.output.read_text()
    assert said.count("stopped; go on with: resume=auto") == 1
    assert "SIGTERM: saving after this batch" in said


@pytest.mark.slow
def test_two_ranks_killed_at_different_batches(tmp_path, text, whole):
    uninterrupted = Runs(tmp_path / "a", text, world=2)
    uninterrupted.root.parent.mkdir()
    assert uninterrupted.go(interruptions=[None, None]) == [0, 0], uninterrupted.output.read_text()
    assert_same_sums(uninterrupted.folders[0], whole)
    runs = Runs(tmp_path / "b", text, world=2)
    runs.root.parent.mkdir()
    moments = [
        ([("in a batch", 8, KILL), ("after saving", 4, KILL)], (2, 4)),
        ([("while saving", 3, KILL), ("at the end", 1, KILL)], (4, BATCHES)),
    ]
    for interruptions, positions in moments:
        assert runs.go("resume=auto", interruptions=interruptions) == [-KILL, -KILL], runs.output.read_text()
        assert (runs.position(0), runs.position(1)) == positions
    # Rank 1 has nothing left to read, and takes part in the sums all the same.
    assert runs.go("resume=auto", interruptions=[None, None]) == [0, 0], runs.output.read_text()
    (folder,) = runs.folders
    assert_same_results(folder, uninterrupted.folders[0])


@pytest.mark.slow
def test_killed_in_the_second_of_two_passes(tmp_path, text, whole):
    """There is room for the products of one pair of two."""
    units = {name: Units(name, Site.mlp_post, (64, 64)) for name in "abc"}
    pairs, config = [("a", "b"), ("a", "c")], CorrelationConfig(candidates=128)
    lasting = lasting_bytes(config, pairs, units, torch.float32, 1, 1)
    passing = max(
        batch_bytes(config, units, 4 * 32, torch.device("cpu"), torch.float32),
        tile_bytes(config, units, torch.float32),
    )
    runs = Runs(tmp_path, text)
    runs.argv.append(f"analysis.memory_gb={(lasting + passing + 1.5 * 128 * 128 * 4) / 1e9}")
    for call, position in ((BATCHES + 3, 2), (4, 5)):
        killed = runs.go("resume=auto", interruptions=[("in a product", call, KILL)])
        assert killed == [-KILL], runs.output.read_text()
        (folder,) = runs.folders
        assert [path.name for path in (folder / "partial").glob("pass*")] == ["pass1"]
        assert runs.position(0) == position
    assert runs.go("resume=auto") == [0], runs.output.read_text()
    assert_same_results(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "nodes"), [(2, 1), (4, 2)])
def test_rows_shared_out_over_devices_and_text_over_nodes(tmp_path, text, whole, world, nodes):
    runs = Runs(tmp_path, text, world, nodes)
    runs.argv += ["analysis.split=rows", f"data.batch_size={4 // nodes}", f"trainer.nodes={nodes}"]
    assert runs.go(interruptions=[None] * world) == [0] * world, runs.output.read_text()
    (assert_same_results if nodes == 1 else assert_same_sums)(runs.folders[0], whole)
