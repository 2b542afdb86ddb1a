"""Files appear whole or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from un_lightning.errors import UserError
from un_lightning.files import atomic_path, atomic_write, make_folder


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("data", "expected"),
    [("naïve\n", "naïve\n".encode()), (b"\x00\r\n\xff", b"\x00\r\n\xff"), ("", b"")],
    ids=["text", "bytes", "empty"],
)
def test_content_arrives_byte_for_byte_and_nothing_else_stays(tmp_path, data, expected):
    atomic_write(tmp_path / "file.txt", data)
    assert (tmp_path / "file.txt").read_bytes() == expected
    assert names(tmp_path) == ["file.txt"]


def test_an_older_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_text("a long older text")
    atomic_write(path, "new")
    assert path.read_text() == "new"


def test_others_may_read_what_the_umask_allows(tmp_path):
    """`tempfile.mkstemp` would make files that only their owner can read."""
    before = os.umask(0o022)
    try:
        atomic_write(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_the_temporary_file_matches_no_pattern_of_results(tmp_path):
    with atomic_path(tmp_path / "table.parquet") as temporary:
        temporary.write_bytes(b"x")
        assert temporary.parent == tmp_path
        assert list(tmp_path.glob("*.parquet")) == []
    assert names(tmp_path) == ["table.parquet"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_names_file_and_reason_and_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, step, full_disk)
    with pytest.raises(UserError, match=r"cannot write .*/file: No space left on device"):
        atomic_write(path, "new")
    monkeypatch.undo()
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


@pytest.mark.slow
def test_a_limit_of_the_system_in_the_middle_of_the_file(tmp_path):
    """A real failing write: the system cuts the file at 1,000 bytes."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path; from un_lightning.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: atomic_write(Path(sys.argv[1]), 'x' * 5000)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"CannotWriteError cannot write {path}: File too large"
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError("a library's own"), KeyboardInterrupt()], ids=repr)
def test_other_errors_pass_unchanged_and_clean_up(tmp_path, error):
    def write():
        with atomic_path(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert names(tmp_path) == []


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match=r"missing/file: No such file or directory"):
        atomic_write(tmp_path / "missing" / "file", "x")


def test_a_file_system_that_cannot_flush_folders_is_no_error(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(tmp_path / "file", "x")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.slow
def test_a_kill_before_the_rename_leaves_the_old_file_and_the_next_write_works(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from un_lightning.files import atomic_write\n"
        "os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_write(Path(sys.argv[1]), 'new')\n"
    )
    path = tmp_path / "summary.json"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    atomic_write(path, "newer")
    assert path.read_text() == "newer"


def test_make_folder_makes_parents_and_keeps_what_is_there(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_make_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot make the folder .*/file/b: Not a directory"):
        make_folder(tmp_path / "file" / "b")
