"""What was found, as a notebook shows it: numbers, tables and figures by name."""

import html
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from un_lightning.errors import UserError


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


ROWS = 16
"""Numbers that a notebook shows."""

T = TypeVar("T")


class UnknownNameError(UserError, KeyError):
    """There is no table or figure of this name; the message lists those that there are."""

    __str__ = Exception.__str__


class Named(Mapping[str, T], Generic[T]):
    """Things by name, each made when it is first asked for, and kept."""

    def __init__(self, what: str, makers: Mapping[str, Callable[[], T]]) -> None:
        self._what, self._makers = what, dict(makers)
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._makers:
            known = ", ".join(self._makers) or "none"
            raise UnknownNameError(f"there is no {self._what} '{name}', there are: {known}")
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers  # Mapping would make it, to see

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __repr__(self) -> str:
        return f"<{self._what}s {', '.join(self) or 'none'}>"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


class Picture:
    """A figure: a PNG file of a run folder, or one that is not written yet."""

    def __init__(self, source: "Path | Figure") -> None:
        self.source = source
        """The file, or matplotlib's figure."""

    def png(self) -> bytes:
        """The image.

        Raises:
            UserError: The file is not there any more.
        """
        if isinstance(self.source, Path):
            try:
                return self.source.read_bytes()
            except OSError as error:
                raise UserError(f"cannot read {self.source}: {error.strerror}") from error
        content = BytesIO()
        self.source.savefig(content, format="png", dpi=150)
        return content.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        return f"<figure {self.source}>"


class Findings:
    """Numbers, tables and figures."""

    def __init__(
        self,
        title: str,
        summary: dict[str, Any],
        tables: "Named[pd.DataFrame]",
        figures: Named[Picture],
    ) -> None:
        self.title = title
        """What they are the findings of."""
        self.summary = summary
        """Numbers and texts by name, such as `universal/percent`; None for a number that does not exist."""
        self.tables = tables
        """Data frames by name, such as `neurons` (docs/architecture.md); read when asked for, and kept."""
        self.figures = figures
        """Figures by name; a notebook shows one that ends a cell."""

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.title}: tables {', '.join(self.tables)}; figures {', '.join(self.figures)}>"

    def _repr_html_(self) -> str:
        """A short table of the first numbers, and the names of the rest; all text is escaped."""
        numbers = [(name, value) for name, value in self.summary.items() if _is_finding(name, value)]
        shown = sorted(numbers, key=lambda pair: not pair[0].startswith("universal/"))[:ROWS]
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{_short(value)}</td></tr>"
            for name, value in shown
        )
        rest = len(self.summary) - len(shown)
        parts = [f"<b>{html.escape(self.title)}</b>", f"<table>{rows}</table>" if rows else ""]
        for name, names in (("tables", self.tables), ("figures", self.figures)):
            if len(names):
                parts.append(f"<div>.{name}: {html.escape(', '.join(names))}</div>")
        parts.append(f"<div>.summary: {rest} more</div>" if rest else "")
        return "".join(parts)


def _is_finding(name: str, value: Any) -> bool:
    """Whether it is a number about all that was read, and not about the machine or one model alone."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and name.count("/") == 1 and not name.startswith("memory/")


def _short(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
