"""A run that was interrupted, however and whenever, goes on to the result of one that was not."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from tests.processes import children, finish, start, wait_until
from tests.small_runs import BATCHES, KILL, Runs, assert_same_results, assert_same_sums, memory_for, run
from un_lightning import cli


@pytest.fixture(scope="module")
def even_text(tmp_path_factory):
    """Overrides that read a store of which each batch is a group, so that it is known where batches end."""
    folder = tmp_path_factory.mktemp("even") / "store"
    tokens = np.random.default_rng(0).integers(1, 4096, (4 * BATCHES, 32), dtype=np.int32)
    Dataset.from_dict({"tokens": list(tokens)}).save_to_disk(str(folder))
    return "data=store", f"data.path={folder}", f"analysis.jackknife={BATCHES}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, even_text):
    """The run that nothing interrupts."""
    runs = Runs(tmp_path_factory.mktemp("whole"), even_text)
    assert runs.go() == [0], runs.output.read_text()
    return runs.folders[0]


@pytest.mark.slow
def test_killed_at_every_kind_of_moment(tmp_path, even_text, whole):
    runs = Runs(tmp_path, even_text)
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
def test_asked_to_stop(tmp_path, even_text, whole):
    """The state is saved after the batch though it is not due, and the message says how to go on."""
    runs = Runs(tmp_path, even_text)
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
def test_two_ranks_killed_at_different_batches(tmp_path, even_text, whole):
    uninterrupted = Runs(tmp_path / "a", even_text, world=2)
    assert uninterrupted.go(interruptions=[None, None]) == [0, 0], uninterrupted.output.read_text()
    assert_same_sums(uninterrupted.folders[0], whole)
    runs = Runs(tmp_path / "b", even_text, world=2)
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
def test_killed_in_the_second_of_two_passes(tmp_path, even_text, whole):
    """There is room for the products of one pair of two."""
    runs = Runs(tmp_path, even_text)
    runs.argv.append(
        f"analysis.memory_gb={memory_for(2, (64, 64), 4 * 32, candidates=128, jackknife=BATCHES)}"
    )
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
def test_rows_shared_out_over_devices_and_text_over_nodes(tmp_path, even_text, whole, world, nodes):
    runs = Runs(tmp_path, even_text, world, nodes)
    runs.argv += ["analysis.split=rows", f"data.batch_size={4 // nodes}", f"trainer.nodes={nodes}"]
    assert runs.go(interruptions=[None] * world) == [0] * world, runs.output.read_text()
    (assert_same_results if nodes == 1 else assert_same_sums)(runs.folders[0], whole)
