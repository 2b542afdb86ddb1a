"""A run whose sums cannot fit is refused before its first batch, with the figures and the ways out."""

import re

import pytest

from tests.small_runs import Runs
from un_lightning import cli
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis


def of_error(said):
    """The one message of a run."""
    lines = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, said
    return lines[0]


@pytest.fixture
def refused(tmp_path, small_text, capsys, monkeypatch):
    """The message of a refused run."""

    def call(*settings):
        runs = Runs(tmp_path, small_text)
        monkeypatch.setattr(CorrelationAnalysis, "add", lambda *_: pytest.fail("a batch was read"))
        monkeypatch.setattr("sys.argv", ["experiments/run.py"])
        with pytest.raises(SystemExit) as ended:
            cli.launch("run", [*runs.argv, *settings])
        printed = capsys.readouterr()
        assert ended.value.code == 2
        assert "Traceback" not in printed.err
        assert runs.folders == []
        assert [path for path in runs.root.rglob("*") if path.is_file()] == []
        assert printed.out == ""
        return of_error(printed.err)

    return call


def test_one_message_with_figures_and_ways_out(refused):
    said = refused("analysis.memory_gb=0.001")
    figures = [float(number) for number in re.findall(r"([\d.e-]+) GB", said)]
    everything, least, beside, there = figures
    # Two pairs of 128 x 128 products of 4 bytes, one layer of 64 rows of them at a time.
    assert (everything, least) == (pytest.approx(0.000131), pytest.approx(3.28e-05))
    assert beside + least > there == 0.001
    assert "raise analysis.memory_gb" in said
    for way in ("models.members", "split=rows", "analysis.tile", "method=screen", "jackknife=0"):
        assert way in said, way


def test_a_smaller_batch_is_offered_where_it_weighs(refused):
    """16 blocks of 32 tokens and 384 units are 0.8 MB, 160 blocks 8 MB, of the 30 that are too few."""
    assert "lower data.batch_size" not in refused("analysis.memory_gb=0.03", "data.batch_size=16")
    assert "lower data.batch_size" in refused("analysis.memory_gb=0.03", "data.batch_size=160")


def test_a_measure_that_keeps_pairs_whole_is_named(refused):
    assert "linreg" in refused("analysis.memory_gb=0.001", "analysis.measures=[linreg]")


@pytest.mark.slow
def test_of_two_ranks_one_speaks_and_both_end(tmp_path, small_text):
    runs = Runs(tmp_path, small_text, world=2)
    codes = runs.go("analysis.memory_gb=0.001", interruptions=[None, None])
    said = runs.output.read_text()
    assert codes == [2, 0]  # Lightning takes another code of a rank than the first for a crash
    assert "Traceback" not in said
    assert "split=rows" in of_error(said)
    assert runs.folders == []
