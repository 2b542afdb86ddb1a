"""Run folders: names, order, the newest finished run, and the lock."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from un_lightning.errors import UserError
from un_lightning.results import runs


class FrozenClock(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls):
        return cls(2026, 11, 22, 9, 5, 7)


@pytest.fixture
def frozen(monkeypatch):
    monkeypatch.setattr(runs, "datetime", FrozenClock)


def not_permitted(*args, **kwargs):
    raise PermissionError(errno.EPERM, "Operation not permitted")


def make(folder: Path, *, config: bool = True, partial: bool = True, summary: bool = False) -> Path:
    folder.mkdir(parents=True)
    if config:
        (folder / "config.yaml").write_text("a: 1\n")
    if partial:
        (folder / "partial").mkdir()
    if summary:
        (folder / "summary.json").write_text("{}\n")
    return folder


@pytest.mark.parametrize("name", ["universality", "tiny/universality"])
def test_a_new_folder_is_named_by_the_time(tmp_path, name):
    run_dir = runs.new_run_dir(tmp_path / "runs", name)
    assert run_dir.is_dir()
    assert run_dir.parent == tmp_path / "runs" / name
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run_dir.name)


def test_runs_of_the_same_second_are_counted(tmp_path, frozen):
    names = [runs.new_run_dir(str(tmp_path), "a").name for _ in range(3)]
    assert names == ["2026-11-22_09-05-07", "2026-11-22_09-05-07-2", "2026-11-22_09-05-07-3"]


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc", "a/", "/a", "a//b", "..", "../a", "a/..", ".", "a/.", "a/b/c", " ", "a/ ", "latest"]
    + ["a/latest", "a\nb", "a\x00b", "\x1b[31m", "a\\b"],
)
def test_names_that_leave_the_root_or_are_none(tmp_path, name):
    for function in (runs.new_run_dir, runs.unfinished_runs):
        with pytest.raises(UserError, match="name") as caught:
            function(tmp_path / "runs", name)
        assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="cannot make the folder"):
        runs.new_run_dir(tmp_path / "runs", "a")


def test_a_full_disk_while_the_folder_is_made(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()

    def mkdir(self, mode=0o777, parents=False, exist_ok=False):
        if not exist_ok:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(UserError, match="No space left on device"):
        runs.new_run_dir(tmp_path, "a")


def test_finished_means_that_there_is_a_summary(tmp_path):
    assert not runs.is_finished(make(tmp_path / "one"))
    assert runs.is_finished(make(tmp_path / "two", summary=True))
    assert not runs.is_finished(tmp_path / "none")


def test_unfinished_runs_newest_first(tmp_path):
    parent = tmp_path / "tiny" / "universality"
    stamp = "2026-11-22_09-05-07"
    for name in (stamp, f"{stamp}-2", f"{stamp}-10", "2025-12-31_23-59-59", "2026-11-22_09-05-08"):
        make(parent / name)
    make(parent / "2026-11-23_00-00-00", summary=True)
    make(parent / "2026-11-23_00-00-01", partial=False)
    make(parent / "2026-11-23_00-00-02", config=False)
    make(parent / "notes")
    (parent / "2026-11-23_00-00-03").symlink_to(parent / stamp)
    found = [path.name for path in runs.unfinished_runs(tmp_path, "tiny/universality")]
    # "-10" is after "-2", though not in the alphabet.
    assert found == ["2026-11-22_09-05-08", f"{stamp}-10", f"{stamp}-2", stamp, "2025-12-31_23-59-59"]


def test_no_runs_yet(tmp_path):
    assert runs.unfinished_runs(tmp_path, "a") == []


def test_latest_is_a_relative_link_to_the_run_that_finished_last(tmp_path):
    first = make(tmp_path / "a" / "2026-11-22_09-05-07", summary=True)
    second = make(tmp_path / "a" / "2026-11-22_09-05-08", summary=True)
    for run_dir in (first, second, first):
        runs.mark_latest(run_dir)
        assert os.readlink(tmp_path / "a" / "latest") == run_dir.name
        assert (tmp_path / "a" / "latest" / "summary.json").is_file()
    (tmp_path / "a").rename(tmp_path / "b")
    assert (tmp_path / "b" / "latest" / "summary.json").is_file()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [first.name, second.name, "latest"]


def test_an_unfinished_run_is_never_the_latest(tmp_path):
    with pytest.raises(ValueError, match="not finished"):
        runs.mark_latest(make(tmp_path / "2026-11-22_09-05-07"))


def test_nothing_is_put_beside_a_folder_that_the_user_named(tmp_path):
    runs.mark_latest(make(tmp_path / "mine", summary=True))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("cause", ["no links", "a folder in the way"])
def test_latest_without_links_is_a_text_file(tmp_path, monkeypatch, cause):
    run_dir = make(tmp_path / "2026-11-22_09-05-07", summary=True)
    if cause == "no links":
        monkeypatch.setattr(Path, "symlink_to", not_permitted)
    else:
        (tmp_path / "latest").mkdir()
    runs.mark_latest(run_dir)
    assert (tmp_path / "latest.txt").read_text() == run_dir.name + "\n"
    assert [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


HOLD = (
    "import sys, time; from pathlib import Path; from un_lightning.results.runs import lock\n"
    "with lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


@pytest.mark.slow
def test_a_folder_is_held_until_its_process_ends_even_by_a_kill(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        taken = re.escape(f"another run is writing to {tmp_path}")
        with pytest.raises(UserError, match=taken), runs.lock(tmp_path):
            pytest.fail("two runs hold one folder")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with runs.lock(tmp_path):
        pass


@pytest.mark.slow
def test_who_waits_gets_the_lock_when_the_holder_ends(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    killer = threading.Timer(0.3, holder.kill)
    killer.start()
    with runs.lock(tmp_path, wait=True):
        assert killer.finished.is_set(), "the lock came before its holder was killed"
    holder.communicate()


def test_the_lock_is_let_go_after_success_and_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), runs.lock(tmp_path):
        1 / 0  # noqa: B018
    for _ in range(2):
        with runs.lock(tmp_path), pytest.raises(UserError, match="another run"), runs.lock(tmp_path):
            pass


def test_an_error_inside_the_lock_is_not_taken_for_one_of_the_lock(tmp_path):
    with pytest.raises(BlockingIOError), runs.lock(tmp_path):
        raise BlockingIOError


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, capsys):
    def flock(*args):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with runs.lock(tmp_path):
        pass
    assert "has no locks" in capsys.readouterr().err


def test_a_folder_that_does_not_exist_cannot_be_locked(tmp_path):
    message = "cannot write to the run folder .*: No such file"
    with pytest.raises(UserError, match=message), runs.lock(tmp_path / "missing"):
        pass
