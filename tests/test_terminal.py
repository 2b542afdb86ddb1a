"""What a run says: literally, unbroken, and on the right stream."""

import subprocess
import sys
from pathlib import Path

import pytest

from un_lightning.terminal import fail, say, show_results, warn


def test_streams(capsys):
    say("one")
    warn("two")
    fail("three")
    captured = capsys.readouterr()
    assert captured.out == "one\n"
    assert captured.err == "warning: two\nerror: three\n"


@pytest.mark.parametrize(
    "text", ["[bold]token[/bold]", "[/]", "a [link=x]b", ":smile:", "\\[x]", "'1' 2.0 /a/b"]
)
def test_data_is_no_markup(capsys, text):
    say(text)
    warn(text)
    fail(text)
    captured = capsys.readouterr()
    assert captured.out == f"{text}\n"
    assert captured.err == f"warning: {text}\nerror: {text}\n"


def test_data_cannot_command_the_terminal(capsys):
    say("a\x1b[2Jb\x07c\rd")
    assert capsys.readouterr().out == "a\ufffd[2Jb\ufffdc\ufffdd\n"


def test_long_lines_are_not_broken(capsys):
    path = "/very" * 60
    say(path)
    fail(path)
    captured = capsys.readouterr()
    assert captured.out == f"{path}\n"
    assert captured.err == f"error: {path}\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (3599.7, "1 h 00 min"), (7325, "2 h 02 min")],
)
def test_results(capsys, seconds, shown):
    headline = [("Universal [neurons]", "1,533 of 36,864 (4.16 %)"), ("Tokens", "1,000,000")]
    show_results(headline, Path("runs/tiny/universality/2026-11-22_09-05-07"), float(seconds))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines == [
        ["Universal", "[neurons]", "1,533", "of", "36,864", "(4.16", "%)"],
        ["Tokens", "1,000,000"],
        [*f"{shown}, results in runs/tiny/universality/2026-11-22_09-05-07".split()],
    ]


def test_no_headline_no_table(capsys):
    show_results([], Path("run"), 1.0)
    assert capsys.readouterr().out == "1.0 s, results in run\n"


@pytest.mark.slow
def test_messages_do_not_wait_for_slow_imports():
    code = (
        "import sys, un_lightning.terminal, un_lightning.results.runs\n"
        "print({'pandas', 'matplotlib', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
