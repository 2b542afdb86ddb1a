"""What a shell is told that completes a command line."""

import pytest

from un_lightning.commands.completion import complete


@pytest.mark.parametrize(
    ("line", "words", "asked"),
    [
        ("un-lightning r", "run report", None),
        ("un-lightning run experiment=tiny/u", "experiment=tiny/universality", None),
        ("un-lightning run data.tok", "", "un-lightning data.tok"),
        ("un-lightning report x", "", None),
    ],
)
def test_completion(line, words, asked, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", line)
    seen = []
    ask = lambda: seen.append(__import__("os").environ["COMP_LINE"])
    complete(["-sc", "query=bash"], ["run", "report", "list"], ["run"], ask)
    assert capsys.readouterr().out.strip() == words
    assert seen == ([] if asked is None else [asked])
