"""Training: members do not disturb each other, a stop changes nothing, and what is saved loads."""

import json
import os
import signal

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

from un_lightning import cli
from un_lightning.compose import configs_folder
from un_lightning.config import LanguageModelConfig, register_schemas
from un_lightning.training.blocks import Blocks, training_order
from un_lightning.training.language_model import SmallGPT2s, new_model


SMALL = [
    "experiment=tiny/train", "logger=none", "trainer.threads=1", "data.context=16", "data.tokens=3_000",
    "training.steps=6", "training.layers=1", "training.width=8", "training.heads=2", "training.batch_size=4",
    "training.validation_tokens=64", "training.precision=32-true", "training.activation=relu",
    "training.tied=false", "training.neurons=24",
]  # fmt: skip


class StoppedError(Exception):
    """What stands for the end of a process."""


@pytest.fixture
def train(small_text, tmp_path):
    """A function that trains small members and returns the folder of the run."""
    register_schemas()

    def trained(name, *overrides):
        folder = tmp_path / name
        own = [f"run_dir={folder}", f"root={tmp_path}", *small_text, *overrides]
        with initialize_config_dir(str(configs_folder()), version_base="1.3"):
            cli._carry_out("train", compose("config", [*SMALL, *own]))
        return folder

    return trained


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, msg=name)


def test_a_member_is_the_same_alone_and_side_by_side_and_after_stops(train, monkeypatch, capsys):
    """It crashes once, and is asked to stop by each signal."""
    alone = train("alone", "seed=1", "training.checkpoints=2")
    original = SmallGPT2s.training_step
    events = {1: None, 2: signal.SIGTERM, 4: signal.SIGINT}

    def step(self, batch, batch_idx):
        event = events.pop(batch, 0)
        if event is None:
            raise StoppedError
        if event:
            os.kill(os.getpid(), event)
        return original(self, batch, batch_idx)

    two = "training.members=2", "training.checkpoints=2"
    with monkeypatch.context() as stopping:
        stopping.setattr(SmallGPT2s, "training_step", step)
        stopping.setenv("HYDRA_FULL_ERROR", "1")  # a bug is raised
        with pytest.raises(StoppedError):
            train("family", *two)
        for number, at in ((signal.SIGTERM, 3), (signal.SIGINT, 5)):
            before = signal.getsignal(number)
            with pytest.raises(SystemExit) as stopped:
                train("family", *two, "resume=family")
            assert stopped.value.code == 128 + number
            assert signal.getsignal(number) == before
            said = capsys.readouterr().out
            assert (
                f"{number.name}: saving after this step\nstopped at step {at}; go on with: resume=auto"
                in said
            )
    family = train("family", *two, "resume=family")
    assert_same(weights(family / "model" / "seed-1"), weights(alone / "model"))
    assert_same(
        weights(family / "checkpoints" / "seed-1" / "step-000001"),
        weights(alone / "checkpoints" / "step-000001"),
    )
    card = json.loads((family / "model" / "seed-1" / "card.json").read_text())
    assert card["seed"] == 1
    assert card["loss"] == json.loads((alone / "model" / "card.json").read_text())["loss"]
    first = weights(family / "model" / "seed-0")
    assert not torch.equal(first["lm_head.weight"], weights(alone / "model")["lm_head.weight"])
    model = GPT2LMHeadModel.from_pretrained(family / "model" / "seed-0")
    assert model.transformer.h[0].mlp.c_fc.weight.shape == (8, 24)
    assert not torch.equal(model.lm_head.weight, model.transformer.wte.weight)
    with torch.no_grad():
        hidden = model.transformer.h[0].mlp.act(torch.tensor([-1.0, 2.0]))
    assert hidden.tolist() == [0, 2]


def test_a_broken_loss_is_an_error(train, monkeypatch, capsys):
    monkeypatch.setattr(SmallGPT2s, "loss", lambda self, *_: next(self.parameters()).sum() * torch.nan)
    with pytest.raises(SystemExit):
        train("broken")
    assert "the held-out loss is [nan]: lower training.learning_rate" in capsys.readouterr().err


def test_each_member_is_clipped_by_its_own_norm():
    config = LanguageModelConfig(members=2, layers=1, width=4, heads=1)
    members = [new_model(config, seed, 8, 4, 0, 0, "eager") for seed in (0, 1)]
    tokens = torch.zeros(2, 4, dtype=torch.int32)
    family = SmallGPT2s(config, range(2), members, Blocks(tokens, tokens, range(2), steps=1, batch_size=1))
    for scale, member in zip((100.0, 1e-3), members, strict=True):
        for parameter in member.parameters():
            parameter.grad = torch.full_like(parameter, scale)
    before = [p.grad.clone() for p in members[1].parameters()]
    family.configure_gradient_clipping(None, 1.0)
    norm = torch.cat([p.grad.flatten() for p in members[0].parameters()]).norm()
    assert norm == pytest.approx(1, rel=1e-3)
    assert all(torch.equal(a, p.grad) for a, p in zip(before, members[1].parameters(), strict=True))


def test_initial_weights_are_those_of_the_seed_and_draw_from_nothing_else():
    config = LanguageModelConfig(layers=1, width=4, heads=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = new_model(config, 3, 8, 4, 0, 0, "eager")
    assert torch.equal(torch.rand(3), expected)
    assert_same(one.state_dict(), new_model(config, 3, 8, 4, 0, 0, "sdpa").state_dict())
    assert one.config.activation_function == "gelu_pytorch_tanh"


def test_every_epoch_reads_every_block_once():
    order = training_order(5, 12, seed=2)
    assert sorted(order[:5]) == sorted(order[5:10]) == [0, 1, 2, 3, 4]
    blocks = Blocks(torch.arange(10).view(5, 2).int(), torch.zeros(3, 2).int(), range(2, 4), 3, batch_size=4)
    read = torch.cat([blocks.batch(0, step) for step in range(3)])
    assert read[:, 0].tolist() == (2 * order).tolist()
    assert blocks.held_out_starts() == [0]
