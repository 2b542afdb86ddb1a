"""Ranks with unequal shares of the text, or with none of it, find together what one process finds.

Whole documents are dealt out: of twelve blocks of the small text two shares get five and seven, of one block
none and one.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.processes import LIMIT, free_port
from tests.small_runs import Runs, assert_same_sums, memory_for
from tests.text import write_text
from un_lightning.config import DataConfig, DataSource, Order, Split
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.models.tokenizers import load_tokenizer


PROGRAM = Path(__file__).parents[2] / "experiments" / "run.py"
CONTEXT = 32
LAYERS = 3
WIDTH = 64
ALL = LAYERS * WIDTH
"""All units are followed: a block of rows knows its own best only."""


def runs_of(folder, text, blocks, world=1, nodes=1, layers=LAYERS):
    data = [*text, f"data.tokens={blocks * CONTEXT}", "data.batch_size=3", "data.order=given"]
    data.append("analysis.jackknife=6")
    runs = Runs(folder, data, world, nodes, settings=[f"analysis.candidates={ALL}"])
    runs.argv += [f"trainer.nodes={nodes}", f"trainer.devices={world // nodes}"] if world > 1 else []
    runs.argv += [f"models.architecture.n_layer={layers}"]
    return runs


@pytest.fixture(scope="module")
def alone(tmp_path_factory, small_text):
    """What one process finds, by blocks and layers."""
    found = {}

    def find(blocks, layers=LAYERS):
        if (blocks, layers) not in found:
            runs = runs_of(tmp_path_factory.mktemp("alone"), small_text, blocks, layers=layers)
            assert runs.go() == [0], runs.output.read_text()
            found[blocks, layers] = runs.folders[0]
        return found[blocks, layers]

    return find


def memory(passes):
    """`analysis.memory_gb` of the runs that share the rows out."""
    return memory_for(
        passes, (WIDTH,) * LAYERS, 3 * CONTEXT, devices=2, shares=2,
        split=Split.rows, candidates=ALL, jackknife=6,
    )  # fmt: skip


def test_shares_are_as_unequal_as_these_tests_need(tmp_path):
    write_text(tmp_path / "text.jsonl")
    for blocks, wanted in ((12, [5, 7]), (1, [0, 1])):
        config = DataConfig(
            source=DataSource.files, path=str(tmp_path / "text.jsonl"), subset_column="subset",
            order=Order.given, min_characters=0, context=CONTEXT, tokens=blocks * CONTEXT, batch_size=1,
            store=str(tmp_path),
        )  # fmt: skip
        stream = TokenBlocks(config, load_tokenizer("bundled:un_tiny/tokenizer"))
        stream.setup("validate")
        assert [len(stream.batches(rank, 2)) for rank in range(2)] == wanted


def assert_same(runs, alone, passes=1):
    """The sums of one process, and intervals where there are groups to compare."""
    (folder,) = runs.folders
    assert_same_sums(folder, alone)
    assert json.loads((folder / "summary.json").read_text())["passes"] == passes
    neurons = pd.read_parquet(folder / "tables" / "neurons.parquet")
    columns = ["corr_stderr", "excess_low", "excess_high", "split_corr"]
    several = json.loads((folder / "summary.json").read_text())["documents"] > 1
    assert neurons["followed"].all() == several
    assert np.isfinite(neurons[columns]).all(axis=None) == several


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [12, 1])
def test_text_shared_out(tmp_path, small_text, alone, blocks):
    runs = runs_of(tmp_path, small_text, blocks, world=2)
    assert runs.go(interruptions=[None] * 2) == [0, 0], runs.output.read_text()
    assert_same(runs, alone(blocks))


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [12, 1])
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_rows_shared_out_by_two_nodes_of_two(tmp_path, small_text, alone, blocks, passes):
    """Of the six layers of row models, each device has up to three, two and one in a pass."""
    runs = runs_of(tmp_path, small_text, blocks, world=4, nodes=2)
    more = [] if passes == 1 else [f"analysis.memory_gb={memory(passes)}"]
    assert runs.go("analysis.split=rows", *more, interruptions=[None] * 4) == [0] * 4, runs.output.read_text()
    assert_same(runs, alone(blocks), passes)


@pytest.mark.slow
def test_devices_without_rows(tmp_path, small_text, alone):
    """Two pairs of one layer are two blocks of rows, on four devices."""
    runs = runs_of(tmp_path, small_text, 12, world=4, layers=1)
    assert runs.go("analysis.split=rows", interruptions=[None] * 4) == [0] * 4, runs.output.read_text()
    assert_same(runs, alone(12, layers=1))


@pytest.mark.slow
def test_two_agents_of_torchrun(tmp_path, small_text, alone):
    """As on two machines (docs/many-gpus.md), but for the address."""
    runs = runs_of(tmp_path, small_text, 12, world=2, nodes=2)
    rendezvous = ["--rdzv-backend=c10d", "--rdzv-id=test", f"--rdzv-endpoint=localhost:{free_port()}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    command = [*torchrun, *rendezvous, "--local-addr=localhost", str(PROGRAM), *runs.argv]
    with runs.output.open("w") as said:
        agents = [subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) for _ in range(2)]
    try:
        codes = [agent.wait(LIMIT) for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    assert codes == [0, 0], runs.output.read_text()
    assert_same(runs, alone(12))
