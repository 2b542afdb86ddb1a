"""The Trainer: off is what this project does itself, and wrong devices are a message."""

import logging
import warnings

import pytest
import torch

from un_lightning.config import Strategy, TrainerConfig
from un_lightning.errors import UserError
from un_lightning.lightning import make_trainer


@pytest.fixture(autouse=True)
def threads():
    """Put back the number of threads, which a Trainer sets for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_nothing_is_written_and_nothing_sampled_anew(tmp_path):
    trainer = make_trainer(TrainerConfig(accelerator="cpu"), None, tmp_path)
    assert trainer.checkpoint_callback is None
    assert trainer.progress_bar_callback is None
    assert trainer.loggers == []
    assert trainer._accelerator_connector.use_distributed_sampler is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("threads", "expected"), [(3, 3), (None, 1)])
def test_threads(tmp_path, monkeypatch, threads, expected):
    """Two processes share two cores, unless the config says otherwise."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    config = TrainerConfig(accelerator="cpu", devices=2, strategy=Strategy.ddp, threads=threads)
    assert make_trainer(config, None, tmp_path).world_size == 2
    assert torch.get_num_threads() == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(
        UserError, match=r"trainer.accelerator=gpu with 1 device\(s\) does not start: .*trainer=auto"
    ):
        make_trainer(TrainerConfig(accelerator="gpu"), None, tmp_path)


def test_a_precision_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="half-baked"):
        make_trainer(TrainerConfig(accelerator="cpu"), None, tmp_path, precision="half-baked")


def test_advice_that_does_not_apply_is_hidden(tmp_path):
    with warnings.catch_warnings(record=True) as shown:
        make_trainer(TrainerConfig(accelerator="cpu"), None, tmp_path)
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use …", FutureWarning, stacklevel=1)
        warnings.warn("The 'val_dataloader' does not have many workers which …", UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["something else"]
    assert not logging.getLogger("lightning_fabric.utilities.distributed").isEnabledFor(logging.INFO)
