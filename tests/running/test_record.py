"""What surrounds a run: which folder it gets, when it may go on, and what a mistake leaves behind."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from un_lightning.config import Config, DataConfig, LoggerConfig, LoggerKind, TrainerConfig
from un_lightning.errors import CannotWriteError, UserError
from un_lightning.results.results import Results
from un_lightning.results.runs import lock
from un_lightning.running import record
from un_lightning.tracking import logger as tracking


PLAIN = {
    "name": "tiny/any",
    "seed": 0,
    "run_dir": None,
    "root": "runs",
    "resume": "never",
    "models": {"family": "f", "members": [{"name": "a", "path": "x"}], "hub_token": "secret"},
    "data": {"tokens": 100, "workers": 0, "store": None},
    "trainer": {"devices": 1, "threads": None, "save_minutes": 5.0, "timeout_minutes": 30.0},
    "logger": {"kind": "none"},
}


def changed(**keys) -> dict:
    """The plain config with other values; `group__key` is a key of a group."""
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in PLAIN.items()}
    for path, value in keys.items():
        group, _, key = path.rpartition("__")
        (config[group] if group else config)[key] = value
    return config


@pytest.fixture
def begin():
    """Begin a run that does something."""

    def run(action=lambda _: None, plain=PLAIN, **settings):
        config = Config(
            name="tiny/any",
            data=DataConfig(),
            trainer=TrainerConfig(),
            logger=LoggerConfig(kind=LoggerKind.none),
            **settings,
        )
        with record.begin(config, plain, job_type="any") as current:
            action(current)
            return current

    return run


def interrupted(current):
    """Save something, then stop."""
    (current.folder / "partial").mkdir(exist_ok=True)
    raise SystemExit(143)


def finish(current):
    current.conclude(Results({"tokens": 1}), 1)


def folders():
    return sorted(Path("runs/tiny/any").glob("2*"))


@pytest.fixture
def unfinished(begin):
    with pytest.raises(SystemExit):
        begin(interrupted)
    (folder,) = folders()
    return folder


def test_a_new_run_keeps_its_config_without_secrets(begin):
    current = begin()
    assert (current.resumed, [current.folder]) == (False, folders())
    config = yaml.safe_load((current.folder / "config.yaml").read_text())
    assert config == changed(models__hub_token="***")


@pytest.mark.parametrize("resume", ["auto", "the folder"])
def test_going_on_with_an_unfinished_run(begin, unfinished, capsys, resume):
    current = begin(resume="auto" if resume == "auto" else str(unfinished))
    assert (current.resumed, current.folder) == (True, unfinished)
    assert capsys.readouterr().out == f"going on with {unfinished}\n"


def test_the_newest_run_of_the_same_config_goes_on(begin, unfinished):
    with pytest.raises(SystemExit):
        begin(interrupted, plain=changed(data__tokens=200))
    first, second = folders()
    assert begin(resume="auto").folder == first
    assert begin(resume="auto", plain=changed(data__tokens=200)).folder == second


def test_nothing_to_go_on_with_is_a_new_run(begin, capsys):
    begin(finish)
    current = begin(resume="auto")
    assert not current.resumed
    assert len(folders()) == 2
    assert "no unfinished run of tiny/any: starting a new one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"data__tokens": 200}, "data.tokens: 100 -> 200"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"trainer__devices": 2}, "trainer.devices: 1 -> 2"),
        ({"models__members": [{"name": "a", "path": "y"}]}, "models.members.0.path: x -> y"),
        (
            {"models__members": [{"name": "a", "path": "x"}, {"name": "b"}]},
            "models.members.1.name: None -> b",
        ),
    ],
)
@pytest.mark.parametrize("resume", ["auto", "the folder"])
def test_another_config_is_refused_by_its_keys(begin, unfinished, keys, named, resume):
    before = (unfinished / "config.yaml").read_text()
    with pytest.raises(UserError, match="was begun with another config") as caught:
        begin(plain=changed(**keys), resume="auto" if resume == "auto" else str(unfinished))
    assert f"\n  {named}\n" in str(caught.value)
    assert str(caught.value).endswith("resume=never.")
    assert (unfinished / "config.yaml").read_text() == before
    assert folders() == [unfinished]


@pytest.mark.parametrize(
    "keys",
    [
        {"root": "elsewhere", "run_dir": "x", "resume": "auto"},
        {"logger": {"kind": "csv"}},
        {"trainer__threads": 3, "trainer__save_minutes": 1.0, "trainer__timeout_minutes": 1.0},
        {"data__workers": 4, "data__store": "cache"},
    ],
)
def test_keys_that_change_no_result_may_change(begin, unfinished, keys):
    assert begin(plain=changed(**keys), resume="auto").folder == unfinished


def test_a_server_that_answers_nonsense_costs_no_result(begin, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("not the JSON that was asked for")

    monkeypatch.setattr(tracking, "log_results", fail)
    assert (begin(finish).folder / "summary.json").is_file()
    assert "record outside the run folder may be incomplete: ValueError: not the" in capsys.readouterr().err


def test_a_finished_run_does_not_go_on(begin):
    folder = begin(finish).folder
    with pytest.raises(UserError, match="that run is finished"):
        begin(resume=str(folder))
    with pytest.raises(UserError, match="no run lies there"):
        begin(resume="runs/nowhere")


@pytest.mark.parametrize("name", ["partial", "tables", "figures"])
def test_a_folder_of_somebody_else_is_left_alone(begin, name):
    note = Path("mine", name, "note.txt")
    note.parent.mkdir(parents=True)
    note.touch()
    with pytest.raises(UserError, match=f"run_dir=mine holds a folder '{name}' that is of no run"):
        begin(finish, run_dir="mine")
    assert note.exists()


def test_a_folder_that_the_user_names(begin):
    assert begin(finish, run_dir="mine").folder == Path("mine")
    for resume, message in (("never", "holds a run already"), ("auto", "holds a finished run")):
        with pytest.raises(UserError, match=f"run_dir=mine {message}: choose another"):
            begin(run_dir="mine", resume=resume)
    assert not begin(run_dir="other", resume="auto").resumed
    assert begin(run_dir="other", resume="auto").resumed


def test_two_runs_in_one_folder(begin, unfinished):
    with lock(unfinished), pytest.raises(UserError, match=f"another run is writing to {unfinished}"):
        begin(resume="auto")
    assert (unfinished / "config.yaml").exists()
    Path("mine").mkdir()
    with lock(Path("mine")), pytest.raises(UserError, match="another run is writing to mine"):
        begin(run_dir="mine")
    assert Path("mine").exists()


def mistake(current):
    (current.folder / "half").write_text("x")
    raise UserError("no such device")


def test_a_mistake_before_anything_was_read_leaves_nothing(begin):
    for settings in ({}, {"run_dir": "mine"}):
        with pytest.raises(UserError, match="no such device"):
            begin(mistake, **settings)
    assert folders() == []
    assert not Path("mine").exists()


def test_a_mistake_takes_nothing_of_the_users_own(begin):
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")
    with pytest.raises(UserError, match="no such device"):
        begin(mistake, run_dir="mine")
    assert Path("mine/notes.txt").read_text() == "keep"
    assert not begin(run_dir="mine").resumed


def test_what_was_saved_survives_a_mistake_and_a_bug(begin, unfinished):
    for error in (UserError("x"), ValueError("x")):

        def fail(current, error=error):
            raise error

        with pytest.raises(type(error)):
            begin(fail, resume="auto")
        assert (unfinished / "partial").is_dir()


def full(current):
    (current.folder / "partial").mkdir(exist_ok=True)
    raise CannotWriteError("cannot write x: No space left on device")


def test_a_full_disk_says_how_to_go_on(begin):
    with pytest.raises(
        UserError, match="No space left on device\nFree some space, then go on with resume="
    ) as caught:
        begin(full)
    (folder,) = folders()
    assert str(caught.value).endswith(f"resume={folder}")


def stop_with(error):
    def action(current):
        raise error

    return action


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda _: None, 0),
        (stop_with(UserError("x")), 2),
        (stop_with(SystemExit(143)), 143),
        (stop_with(SystemExit("words")), 1),
        (stop_with(KeyboardInterrupt()), 1),
        (stop_with(ZeroDivisionError()), 1),
    ],
)
def test_the_record_is_closed_with_the_exit_code(begin, monkeypatch, action, code):
    codes = []
    monkeypatch.setattr(tracking, "finish", lambda _, exit_code: codes.append(exit_code))
    with suppress(BaseException):
        begin(action)
    assert codes == [code]


def test_other_ranks_write_nothing(begin, monkeypatch):
    monkeypatch.setenv("NODE_RANK", "1")
    current = begin(finish)
    assert (current.folder, current.logger) == (None, None)
    assert os.listdir() == []
