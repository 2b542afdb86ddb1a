"""Everything that a run says on the terminal: the only module that prints.

Text may come from data (names of models, tokens, paths), so none of it is read as markup, and control
characters, which could command the terminal, are shown as a replacement character.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Print a message to the standard output."""
    _out.print(_text(message), soft_wrap=True)


def note(message: str) -> None:
    """Print to the standard error how things go, apart from what is found."""
    _err.print(_text(message), soft_wrap=True)


def warn(message: str) -> None:
    """Print to the standard error what is odd but does not stop the run."""
    _err.print(Text("warning: ", style="yellow").append_text(_text(message)), soft_wrap=True)


def fail(message: str) -> None:
    """Print to the standard error why the run stops."""
    _err.print(Text("error: ", style="bold red").append_text(_text(message)), soft_wrap=True)


def duration(seconds: float) -> str:
    """A time span as people say it: `4.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def show_results(headline: Sequence[tuple[str, str]], run_dir: Path, seconds: float) -> None:
    """Print the short table that ends a run, how long it took and where everything lies.

    Args:
        headline: Label and value of each row.
        run_dir: The run folder.
        seconds: Wall-clock time of the run.
    """
    if headline:
        table = Table(box=SIMPLE_HEAD, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(justify="right", overflow="fold")
        for label, value in headline:
            table.add_row(_text(label), _text(value))
        _out.print(table)
    say(f"{duration(seconds)}, results in {run_dir}")


def show_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table; numbers stand right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(header):
        numbers = all(_is_number(row[place]) for row in rows)
        table.add_column(_text(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    _out.print(table)


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def _text(message: str) -> Text:
    shown = (
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in message
    )
    return Text("".join(shown))
