"""The commands of docs/many-gpus.md are runs that the program would begin."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from un_lightning import compose as settings
from un_lightning.config import register_schemas


PAGE = (Path(__file__).parents[1] / "docs" / "many-gpus.md").read_text().replace("\\\n", " ")
COMMANDS = [line for line in PAGE.splitlines() if re.search(r"experiments/(run|prepare)\.py", line)]
WHOLE = [command for command in COMMANDS if "…" not in command]


def option(command, name):
    found = re.search(rf"--{name}=(\S+)", command)
    return found and found[1]


def checked(command):
    """The config of a command, with its ranges and combinations checked."""
    register_schemas()
    overrides = [
        word for word in re.split(r"experiments/\w+\.py", command)[1].split("#")[0].split() if "…" not in word
    ]
    if not any(word.startswith("experiment=") for word in overrides):
        overrides.append("experiment=tiny/universality")
    with initialize_config_dir(config_dir=str(settings.configs_folder()), version_base="1.3"):
        return settings.check(compose("config", overrides=overrides))


def test_the_page_has_commands():
    assert len(WHOLE) == 3
    assert len(COMMANDS) == 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_a_run(command):
    checked(command)


@pytest.mark.parametrize("command", [c for c in WHOLE if "run.py" in c])
def test_a_launcher_starts_the_ranks_that_the_trainer_expects(command):
    trainer = checked(command).trainer
    assert int(option(command, "nodes") or option(command, "nnodes")) == trainer.nodes
    assert int(option(command, "ntasks-per-node") or option(command, "nproc-per-node")) == trainer.devices
    if "torchrun" in command:
        assert option(command, "rdzv-backend") == "c10d"
    else:
        assert int(option(command, "gpus-per-node")) == trainer.devices


def test_the_store_is_prepared_for_the_run_that_reads_it():
    prepared, *runs = (checked(command).data for command in WHOLE)
    for data in runs:
        data.batch_size = prepared.batch_size  # which changes nothing of the store
        assert data == prepared
