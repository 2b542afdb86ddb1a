"""The command line: every mistake is one message, given before anything slow is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from un_lightning import cli
from un_lightning.config import Config
from un_lightning.errors import UserError
from un_lightning.running import launch


REPOSITORY = Path(__file__).parent.parent
TINY = "experiment=tiny/universality"
SLOW = ["torch", "transformers", "pytorch_lightning", "pandas", "datasets", "wandb"]

MISTAKES = {
    "a typo in a key": (
        [TINY, "data.tokns=5"],
        ["unknown key 'data.tokns' (did you mean tokens?); the nearest are tokens, "],
    ),
    "a typo in a group": (["experment=tiny/train"], ["unknown key 'experment' (did you mean experiment?)"]),
    "another analysis than the experiment's": (
        ["experiment=tiny/weights", "analysis=correlation"],
        [
            "experiment/tiny/weights sets 'analysis.",
            "which analysis=correlation does not have",
            "take analysis=",
        ],
    ),
    "an added key": ([TINY, "+data.tokns=5"], ["unknown key 'data.tokns' (did you mean tokens?)"]),
    "a typo in a member": ([TINY, "models.members.0.pth=a"], ["models.members[0].pth", "path"]),
    "an unknown experiment": (
        ["experiment=tiny/univers"],
        [
            "there is no experiment 'tiny/univers' (did you mean tiny/universality?); the nearest ",
            "un-lightning list shows all",
        ],
    ),
    "an unknown option": ([TINY, "trainer=gpuu"], ["there is no trainer 'gpuu'", "auto, cpu, ddp, ddp_cpu"]),
    "an empty option": (
        [TINY, "data="],
        ["there is no config 'data'", "files, local, pile, pile_files, sample, store"],
    ),
    "two experiments": (
        [TINY, "experiment=tiny/weights"],
        ["experiment=tiny/universality and experiment=tiny/weights are given: choose one experiment"],
    ),
    "no experiment": ([], ["no experiment was chosen: add experiment=<name>", "tiny/universality"]),
    "a wrong type": ([TINY, "data.tokens=many"], ["data.tokens", "'many'", "Integer"]),
    "a fraction": ([TINY, "data.tokens=1.5"], ["data.tokens", "Integer"]),
    "nothing for a number": ([TINY, "data.tokens=null"], ["data.tokens"]),
    "a wrong name": ([TINY, "analysis.site=mlp"], ["analysis.site", "'mlp'", "mlp_pre, mlp_post, mlp_out"]),
    "out of range": ([TINY, "data.tokens=0"], ["data.tokens is 0, but must be at least 1"]),
    "a wrong combination": ([TINY, "trainer.devices=2"], ["need trainer.strategy=ddp"]),
    "a key of no group": (["analysis.draws=1"], ["no analysis is chosen; add analysis=<name>"]),
    "no value": ([TINY, "data.tokens"], ["cannot read 'data.tokens': write key=value"]),
    "half a list": ([TINY, "logger.tags=[a"], ["cannot read 'logger.tags=[a'"]),
    "two values": ([TINY, "data.tokens=1,2"], ["data.tokens=1,2"]),
    "a group that is null": ([TINY, "logger=null"], ["~group"]),
    "no such folder of configs": (["--config-dir", "/nowhere", TINY], ["/nowhere", "not found"]),
}

RUN_ALL = """
import contextlib, io, json, sys
from un_lightning import cli
found = {}
for name, argv in json.loads(sys.argv[1]).items():
    out = io.StringIO()
    with contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
        try:
            cli.launch("run", argv)
            code = 0
        except SystemExit as stop:
            code = stop.code
    found[name] = [code, out.getvalue()]
print(json.dumps([found, sorted(sys.modules)]))
"""


def python(*arguments, **environment):
    """Run Python in another process; its output must not be a traceback."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def answers():
    """What the program says to every mistake, and what it had imported by then."""
    done = python("-c", RUN_ALL, json.dumps({name: argv for name, (argv, _) in MISTAKES.items()}))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_message_with_what_to_do(answers, mistake):
    code, message = answers[0][mistake]
    assert code == 2
    assert message.count("error: ") == 1
    assert "HYDRA_FULL_ERROR" not in message
    for part in MISTAKES[mistake][1]:
        assert part in message


@pytest.mark.slow
def test_mistakes_are_answered_before_anything_slow_is_imported(answers):
    assert "hydra" in answers[1]
    assert set(SLOW).isdisjoint(answers[1])


@pytest.mark.slow
def test_the_script():
    done = python(REPOSITORY / "experiments" / "run.py", TINY, "data.tokns=5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown key 'data.tokns'")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.slow
def test_help_lists_the_groups_and_the_experiments():
    done = python(REPOSITORY / "experiments" / "run.py", "--help")
    assert done.returncode == 0
    for text in (
        "un-lightning",
        "models: pythia_160m, random_tiny, stanford_gpt2_medium, stanford_gpt2_small, un_squared, un_tiny",
        "trainer: auto, cpu, ddp, ddp_cpu",
        "experiment",
    ):
        assert text in done.stdout
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.slow
def test_the_console_script():
    script = Path(sys.executable).with_name("un-lightning")
    done = python(script, "run", TINY, "data.tokens=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: data.tokens is 0, but must be at least 1\n"


def test_the_verbs_are_listed(monkeypatch, capsys):
    for argv in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["un-lightning", *argv])
        cli.main()
        printed = capsys.readouterr().out
        assert all(text in printed for text in (*cli.VERBS, *cli.TOOLS, "--help"))
    monkeypatch.setattr(sys, "argv", ["un-lightning", "go"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "there is no verb 'go'" in capsys.readouterr().err


@pytest.fixture
def carried_out(monkeypatch):
    """Take the place of the verb `run`: note what it gets, and do something."""
    noted = []

    def act(action=lambda: None):
        def run(config, plain):
            noted.append((config, plain, [*sys.argv], os.environ.get("HYDRA_FULL_ERROR")))
            action()

        monkeypatch.setattr(launch, "run", run)
        return noted

    return act


def test_a_verb_gets_the_config_and_its_own_command_line(carried_out, monkeypatch):
    noted = carried_out()
    monkeypatch.setattr(sys, "argv", ["experiments/run.py", "as", "typed"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    cli.launch("run", [TINY, "data.tokens=77", "trainer=cpu"])
    ((config, plain, argv, full),) = noted
    assert isinstance(config, Config)
    assert (config.data.tokens, config.trainer.accelerator, config.name) == (77, "cpu", "tiny/universality")
    assert plain["data"]["tokens"] == 77
    assert plain["data"]["source"] == "sample"
    assert json.loads(json.dumps(plain)) == plain
    assert argv == sys.argv == ["experiments/run.py", "as", "typed"]
    assert full is os.environ.get("HYDRA_FULL_ERROR") is None
    assert list(Path.cwd().iterdir()) == []


def test_flags_may_stand_anywhere(carried_out, tmp_path):
    noted = carried_out()
    (tmp_path / "a=b").mkdir()
    cli.launch("run", [TINY, "root=runs", "--multirun", "seed=1,2", "--config-dir", str(tmp_path / "a=b")])
    folders = [Path(config.run_dir) for config, *_ in noted]
    assert [folder.parent.name for folder in folders] == ["multirun", "multirun"]
    assert [folder.name.rpartition(",")[2] for folder in folders] == ["seed=1", "seed=2"]
    assert [config.seed for config, *_ in noted] == [1, 2]
    assert {path.name for path in Path.cwd().iterdir()} == {"a=b", "runs"}


def stopped(action):
    def act(*arguments):
        raise action

    return act


@pytest.mark.parametrize(
    ("error", "rank", "code", "message"),
    [
        (UserError("the disk is full"), "0", 2, "error: the disk is full\n"),
        (UserError("the disk is full"), "3", 2, "error: (rank 3) the disk is full\n"),
        (
            OSError(28, "No space left on device", "a/b"),
            "0",
            2,
            "error: the disk is full (a/b): free some space, then begin again or go on with resume=auto\n",
        ),
        (
            PermissionError(13, "Permission denied", "a/b"),
            "0",
            2,
            "error: Permission denied (a/b): choose a place that you may use\n",
        ),
        (
            type("OutOfMemoryError", (RuntimeError,), {})("Much\nMore"),
            "1",
            2,
            "error: (rank 1) the device's memory is full: set data.batch_size or "
            "analysis.memory_gb lower (Much)\n",
        ),
        (
            RuntimeError("[a/gloo/transport/pair.cc:534] closed"),
            "2",
            1,
            "error: (rank 2) another rank has ended, or cannot be reached; what it says tells why "
            "([a/gloo/transport/pair.cc:534] closed)\n",
        ),
        (KeyboardInterrupt(), "0", 130, "error: interrupted\n"),
        (SystemExit(143), "0", 143, ""),
    ],
)
def test_how_a_verb_ends(carried_out, monkeypatch, capsys, error, rank, code, message):
    carried_out(stopped(error))
    monkeypatch.setenv("LOCAL_RANK", rank)
    with pytest.raises(SystemExit) as stop:
        cli.launch("run", [TINY])
    assert stop.value.code == code
    assert capsys.readouterr().err == message


def test_a_bug_is_one_sentence_and_a_traceback_for_who_asks(carried_out, monkeypatch, capsys):
    noted = carried_out(stopped(ValueError("a bug\nin two lines")))
    shown = []
    for words, value in [([], None), (["--traceback"], None), ([], "1")]:
        if value:
            monkeypatch.setenv("UN_LIGHTNING_TRACEBACK", value)
        with pytest.raises(SystemExit) as stop:
            cli.launch("run", [TINY, *words])
        assert stop.value.code == 1
        shown.append(capsys.readouterr().err)
    assert len(noted) == 3
    assert shown[0].startswith(
        "error: this is a bug in un-lightning (ValueError: a bug, in un_lightning.cli, "
    )
    assert shown[0].endswith(": run again with --traceback and report it\n")
    assert shown[0].count("\n") == 1
    for text in shown[1:]:
        assert text.startswith("Traceback")
        assert text.endswith(": report it with what stands above\n")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="a bug"):
        cli.launch("run", [TINY])


def test_a_bug_of_a_tool_is_said_alike(monkeypatch, capsys):
    monkeypatch.setattr("un_lightning.commands.init.main", stopped(KeyError("x")))
    with pytest.raises(SystemExit) as stop:
        cli.tool("init", ["mine", "--traceback"])
    assert stop.value.code == 1
    assert "Traceback" in capsys.readouterr().err
    assert "UN_LIGHTNING_TRACEBACK" not in os.environ


def test_who_asks_for_the_full_error_gets_it(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="Could not override") as caught:
        cli.launch("run", [TINY, "data.tokns=5"])
    assert type(caught.value).__module__ == "hydra.errors"


def test_a_folder_of_ones_own_experiments(carried_out, tmp_path, capsys):
    own = tmp_path / "configs" / "experiment" / "mine" / "first.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        "# @package _global_\ndefaults:\n  - override /models: un_tiny\n  - override /analysis: correlation\n"
        "name: mine/first\ndata: {tokens: 123}\n"
    )
    noted = carried_out()
    folder = str(tmp_path / "configs")
    cli.launch("run", ["--config-dir", folder, "experiment=mine/first"])
    assert (noted[0][0].name, noted[0][0].data.tokens) == ("mine/first", 123)
    for flags in (["--config-dir", folder], [f"--config-dir={folder}"], ["-cd", folder]):
        with pytest.raises(SystemExit):
            cli.launch("run", [*flags, "experiment=mine/second"])
        nearest = capsys.readouterr().err.partition("the nearest are ")[2]
        assert "mine/first" in nearest
        assert nearest.count(",") == 2


def test_a_mistake_in_ones_own_experiment_names_the_file(tmp_path, capsys):
    own = tmp_path / "experiment" / "mine.yaml"
    own.parent.mkdir()
    texts = {"data: {tokns: 3}": "data.tokns", "data: [": "mine.yaml", "data: {tokens: x}": "data.tokens"}
    for text, wanted in texts.items():
        own.write_text(f"# @package _global_\nname: mine\n{text}\n")
        with pytest.raises(SystemExit) as stop:
            cli.launch("run", ["--config-dir", str(tmp_path), "experiment=mine"])
        message = capsys.readouterr().err
        assert stop.value.code == 2
        assert wanted in message
        assert "mine" in message
