"""How ranks stop together; whole runs that are interrupted are in test_resume."""

import os
import signal
import subprocess
from types import SimpleNamespace
from unittest.mock import MagicMock, create_autospec

import pytest
import pytorch_lightning as pl
import torch

from un_lightning.analyses.base import Analysis
from un_lightning.config import WeightsConfig
from un_lightning.data.stream import Stream
from un_lightning.models.family import Family
from un_lightning.models.frozen import FrozenModel
from un_lightning.results.partial import load_partial
from un_lightning.running import callbacks
from un_lightning.running.callbacks import Interrupted, KeepPartial, origin_of


@pytest.fixture(autouse=True)
def handlers():
    """Begin with what listens in a new process, and put back what listened before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def rank(tmp_path):
    """One rank of two in the middle of its pass; on rank 0, with the process of the other."""

    def make(number: int, minutes: float = 60.0):
        other = create_autospec(subprocess.Popen, instance=True)
        trainer = create_autospec(pl.Trainer, instance=True)
        trainer.strategy = MagicMock()
        trainer.strategy.broadcast.side_effect = lambda value: value
        trainer.strategy.launcher.procs = [other] if number == 0 else []
        trainer.global_rank, trainer.world_size, trainer.is_global_zero = number, 2, number == 0
        trainer.datamodule = create_autospec(Stream, instance=True)
        trainer.datamodule.fingerprint.return_value = "text"
        analysis = create_autospec(Analysis, instance=True)
        analysis.position, analysis.counted, analysis.current = 3, 30, 0
        analysis.family, analysis.settings = Family("f", {}, "a", None), WeightsConfig()
        analysis.state.return_value = {"a": torch.ones(2)}
        keep = KeepPartial(tmp_path, False, minutes)
        keep.setup(trainer, analysis, "validate")
        keep.on_validation_start(trainer, analysis)
        end = lambda: keep.on_validation_batch_end(trainer, analysis, None, None, 2)
        return SimpleNamespace(
            keep=keep, other=other, end=end, folder=tmp_path / "partial", number=number, analysis=analysis
        )

    return make


def saved(rank):
    return load_partial(rank.folder, rank.number, 2, {"text": "text"})


def test_nothing_is_saved_before_it_is_due(rank):
    first = rank(0)
    first.end()
    assert saved(first) is None


@pytest.mark.parametrize("number", [0, 1])
def test_each_rank_saves_when_it_is_due(rank, number):
    one = rank(number, minutes=0.0)
    one.end()
    assert (saved(one).position, saved(one).counted) == (3, 30)


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_rank_0_passes_the_signal_on_saves_and_waits(rank, capsys, asked):
    first = rank(0)
    os.kill(os.getpid(), asked)
    first.other.send_signal.assert_called_once_with(asked)
    assert capsys.readouterr().out == f"{asked.name}: saving after this batch\n"
    first.other.wait.side_effect = lambda _: saved(first) or pytest.fail("it waits before it has saved")
    with pytest.raises(Interrupted, match=asked.name):
        first.end()
    first.other.wait.assert_called_once()
    assert first.keep.asked == asked


def test_rank_0_does_not_wait_for_ever(rank, monkeypatch):
    """For a rank that has read all its blocks and waits for the sums of this one."""
    monkeypatch.setattr(callbacks, "SECONDS_TO_SAVE", 0.0)
    first = rank(0)
    os.kill(os.getpid(), signal.SIGTERM)
    first.other.wait.side_effect = subprocess.TimeoutExpired("rank 1", 0)
    with pytest.raises(Interrupted):
        first.end()
    assert saved(first).position == 3


@pytest.mark.parametrize(("count", "seconds"), [(2, 20), (1_000_000, 60)])
def test_the_time_to_save_follows_the_size_of_the_state(rank, monkeypatch, count, seconds):
    """4 bytes a number, at 100,000 bytes a second here."""
    monkeypatch.setattr(callbacks, "BYTES_A_SECOND", 1e5)
    first = rank(0)
    first.analysis.state.return_value = {"a": torch.ones(count)}
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        first.end()
    (waited,) = first.other.wait.call_args.args
    assert waited == pytest.approx(seconds, abs=0.1)


def test_rank_0_ends_last_where_others_started_the_ranks(rank, monkeypatch):
    """`srun --kill-on-bad-exit` kills all tasks when one ends with an error, as rank 0 does."""
    ranks = [rank(0), rank(1)]
    ranks[0].keep.started = []
    naps = []

    def nap(seconds):
        """Rank 1 saves while rank 0 waits."""
        naps.append(seconds)
        if len(naps) == 2:
            ranks[1].keep.asked = signal.SIGTERM
            with pytest.raises(Interrupted):
                ranks[1].end()

    monkeypatch.setattr(callbacks.time, "sleep", nap)
    ranks[0].keep.asked = signal.SIGTERM
    with pytest.raises(Interrupted):
        ranks[0].end()
    assert len(naps) == 2
    assert [saved(one).position for one in ranks] == [3, 3]
    again = rank(1)  # in the run that goes on, nobody is taken for stopped
    assert not [*again.folder.glob("*.stopped")]


def test_other_ranks_may_be_asked_twice(rank, capsys):
    """By the terminal, which asks every process, and by rank 0."""
    second = rank(1)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Interrupted):
        second.end()
    os.kill(os.getpid(), signal.SIGINT)  # a third one after all is saved
    assert saved(second).position == 3
    assert capsys.readouterr().out == ""


def test_a_second_signal_ends_rank_0_at_once(rank):
    first = rank(0)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert saved(first) is None


def test_a_rank_without_rank_0_stops_before_it_saves(rank, monkeypatch):
    ranks = [rank(0, minutes=0.0), rank(1, minutes=0.0)]
    heir = os.getppid() + 1
    monkeypatch.setattr(os, "getppid", lambda: heir)
    ranks[0].end()  # whose parent is a shell that may have ended
    with pytest.raises(SystemExit, match="rank 0 is gone"):
        ranks[1].end()
    assert saved(ranks[1]) is None


def test_signals_go_their_old_way_after_the_pass(rank):
    before = signal.getsignal(signal.SIGTERM)
    one = rank(0)
    assert signal.getsignal(signal.SIGTERM) != before
    one.keep.on_validation_end(MagicMock(spec=pl.Trainer), MagicMock(spec=Analysis))
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_origin_of_sums_tells_weights_apart():
    data = create_autospec(Stream, instance=True)
    data.fingerprint.return_value = "text"
    models = {name: FrozenModel(name, torch.nn.Linear(3, 2)) for name in "ab"}
    analysis = create_autospec(Analysis, instance=True)
    analysis.family, analysis.settings = Family("f", models, "a", None), WeightsConfig()
    origin = origin_of(analysis, data)
    assert origin == origin_of(analysis, data)
    with torch.no_grad():
        models["b"].module.weight[1, 2] += 1e-3
    assert origin_of(analysis, data)["models"] != origin["models"]
