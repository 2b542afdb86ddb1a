"""What a long run says meanwhile."""

import mmap
import time

import pytest
import torch

from tests.analyses.conftest import store, stream, tokenizer, tokens  # noqa: F401
from tests.analyses.correlation.test_analysis import family, gpt2
from tests.processes import wait_until
from un_lightning.analyses.correlation.analysis import CorrelationAnalysis
from un_lightning.config import CorrelationConfig, DataConfig, DataSource, TrainerConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.lightning import make_trainer
from un_lightning.memory import peak_bytes, taken_bytes
from un_lightning.running import watch
from un_lightning.running.watch import Heartbeat, Watch


def test_silence_is_explained(capsys):
    heart = Heartbeat(quiet=0.2)
    heart.beat("adding up")
    heart.start()
    said = []
    wait_until(lambda: said.append(capsys.readouterr().err) or "".join(said).count("still adding up") >= 2)
    heart.over.set()
    heart.join(timeout=10)
    assert not heart.is_alive()


def test_steps_keep_it_quiet(capsys):
    heart = Heartbeat(quiet=0.4)
    heart.start()
    for _ in range(16):
        heart.beat("in a batch")
        time.sleep(0.05)
    heart.over.set()
    heart.join(timeout=10)
    assert capsys.readouterr().err == ""


class Kept(list):
    """A logger's calls."""

    def log_metrics(self, metrics):
        self.append(metrics)


@pytest.mark.parametrize("jackknife", [0, 5])
def test_points_of_the_curves(store, tokenizer, tokens, tmp_path, monkeypatch, capsys, jackknife):  # noqa: F811
    """After every batch; the last one has seen everything, so what it found is the result."""
    data = TokenBlocks(
        DataConfig(source=DataSource.store, path=str(store), context=16, tokens=640, batch_size=8), tokenizer
    )
    models = {"a": gpt2(0), "b": gpt2(1)}
    analysis = CorrelationAnalysis(
        CorrelationConfig(jackknife=jackknife, candidates=128), family(**models), seed=0
    )
    kept = Kept()
    trainer = make_trainer(
        TrainerConfig(accelerator="cpu", threads=1), None, tmp_path, callbacks=[Watch(0.0)]
    )
    monkeypatch.setattr(type(trainer), "logger", property(lambda _: kept))
    trainer.validate(analysis, datamodule=data, verbose=False)
    assert [point["tokens"] for point in kept] == [128, 256, 384, 512, 640]
    assert all(point["speed/units_per_second"] > 0 and point["speed/memory_gb"] > 0.01 for point in kept)
    said = capsys.readouterr().err
    assert ("so far: mean of the largest correlations" in said) == (jackknife > 0)
    assert "memory: about" not in said
    assert 1e8 < analysis.planned <= peak_bytes(torch.device("cpu")) * 1.1
    if jackknife:
        assert analysis.results is not None
        table = analysis.results.tables["neurons"].query("model == 'a'")
        assert kept[-1]["so_far/largest"] == pytest.approx(table["max_corr"].max(), abs=1e-6)
        assert kept[-1]["so_far/mean of the largest correlations"] == pytest.approx(
            table["max_corr"].mean(), abs=1e-6
        )


def test_memory_is_said_once_where_it_is_much(stream, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(watch, "WORTH_SAYING", 1)
    analysis = CorrelationAnalysis(CorrelationConfig(), family(a=gpt2(0), b=gpt2(1)), seed=0)
    trainer = make_trainer(
        TrainerConfig(accelerator="cpu", threads=1), None, tmp_path, callbacks=[Watch(9.0)]
    )
    trainer.validate(analysis, datamodule=stream(), verbose=False)
    said = capsys.readouterr().err
    assert said.count("memory: about") == 1
    assert "GB on each device; the text is read once" in said


def test_memory_of_this_process():
    before = taken_bytes(torch.device("cpu"))
    with mmap.mmap(-1, 160_000_000) as pages:  # from the system, not from what earlier tests freed
        held = torch.frombuffer(pages, dtype=torch.uint8).fill_(1)
        assert taken_bytes(torch.device("cpu")) - before > 0.9 * held.nbytes
        del held
