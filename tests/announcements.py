"""What a run says on the standard error of what it is doing: lines that end with an ellipsis."""


def without_announcements(printed: str) -> str:
    """The other lines: warnings and errors, which may end with an ellipsis too."""
    return "".join(line for line in printed.splitlines(keepends=True) if not _announces(line))


def _announces(line: str) -> bool:
    return line.endswith(" …\n") and not line.startswith(("error: ", "warning: "))
