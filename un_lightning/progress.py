"""How far a pass is: a bar for who watches, a line now and then where the output is kept."""

import sys
import time

from tqdm import tqdm

from un_lightning.terminal import duration, note


EVERY = 30.0
"""Seconds between two lines where the standard error is no terminal."""


class Meter:
    """Units done, units per second and time left."""

    def __init__(self, what: str, total: int, done: int = 0, unit: str = "tokens") -> None:
        """Begin to show progress.

        Args:
            what: What is going on, as in "Reading".
            total: Units in the end.
            done: Units that an earlier run had behind it.
            unit: What is counted.
        """
        self.what, self.total, self.unit = what, total, unit
        self.first = self.done = min(done, total)
        self.begun = self.said = time.monotonic()
        self.bar = tqdm(
            total=total, initial=self.done, desc=what, unit=f" {unit}", unit_scale=True, dynamic_ncols=True,
            mininterval=1.0, file=sys.stderr,
        ) if sys.stderr.isatty() else None  # fmt: skip

    def advance(self, units: int) -> None:
        """Count some more; never shows more than all."""
        before, self.done = self.done, min(self.done + units, self.total)
        if self.bar is not None:
            self.bar.update(self.done - before)
        elif time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            note(self.line())

    def line(self) -> str:
        """The state in one line."""
        seconds = time.monotonic() - self.begun
        rate = (self.done - self.first) / seconds if seconds else 0.0
        part = f"{self.done / self.total:.0%}" if self.total else "all"
        line = f"{self.what}: {_short(self.done)} of {_short(self.total)} {self.unit} ({part})"
        if not rate:
            return line
        return f"{line}, {_short(rate)} {self.unit}/s, {duration((self.total - self.done) / rate)} left"

    def close(self) -> None:
        """Leave the bar as it is and end its line."""
        if self.bar is not None:
            self.bar.close()


def _short(number: int | float) -> str:
    return tqdm.format_sizeof(number) if number >= 1000 else f"{number:.0f}"
