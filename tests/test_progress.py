"""Progress: a bar for who watches, a line now and then for a log."""

import sys

import pytest

from un_lightning import progress
from un_lightning.progress import Meter


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_half_minute(clock, capsys):
    meter = Meter("Reading", 1_000_000, done=100_000)
    for _ in range(13):
        clock[0] += 5
        meter.advance(10_000)
    meter.close()
    assert capsys.readouterr().err.splitlines() == [
        "Reading: 160k of 1.00M tokens (16%), 2.00k tokens/s, 7 min 00 s left",
        "Reading: 220k of 1.00M tokens (22%), 2.00k tokens/s, 6 min 30 s left",
    ]


def test_a_short_pass_says_nothing(clock, capsys):
    meter = Meter("Reading", 100)
    clock[0] += 29
    meter.advance(100)
    meter.close()
    assert capsys.readouterr().err == ""


def test_nothing_is_counted_twice_or_beyond_the_end(clock):
    meter = Meter("Reading", 100, done=150, unit="layers")
    assert meter.line() == "Reading: 100 of 100 layers (100%)"
    meter.advance(50)
    assert meter.done == 100
    assert Meter("Reading", 0).line() == "Reading: 0 of 0 tokens (all)"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    meter = Meter("Reading", 2000, done=500)
    meter.advance(250)
    meter.advance(5000)
    meter.close()
    shown = capsys.readouterr().err
    assert "Reading" in shown
    assert "2.00k/2.00k" in shown
