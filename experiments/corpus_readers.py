"""How the files of a corpus become plain text: pages, manuals, dictionaries and two formats of their own."""

import gzip
import re
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path


_DROPPED = {"script", "style", "nav", "head", "footer", "header", "form", "svg", "button", "select", "info"}
_NAVIGATION = re.compile(
    r"(^|\s)(nav(header|footer|igation)|sphinxsidebar|related|breadcrumbs?|sidebar|headerlink|toctree-wrapper|"
    r"footer|header-wrapper)(\s|$)"
)
_BLOCKS = {
    "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "pre",
    "section", "blockquote", "article", "main", "title", "page", "note", "steps", "item", "hr", "body",
}  # fmt: skip
_VOID = {"br", "hr", "img", "input", "link", "meta", "col", "wbr", "area", "source"}


class _Page(HTMLParser):
    """Text of a page's main part (or all of it), a paragraph for each block, preformatted text as it is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.main: list[int] = []
        self._skipped: tuple[str, int] | None = None
        self._main_open: tuple[str, int] | None = None
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipped:
            name, depth = self._skipped
            self._skipped = (name, depth + (tag == name))
            return
        told = {key: value or "" for key, value in attrs}
        about = f"{told.get('class', '')} {told.get('id', '')}"
        if tag in _DROPPED or (tag not in _VOID | {"body", "html"} and _NAVIGATION.search(about)):
            self._skipped = (tag, 1)
            return
        if self._main_open:
            name, depth = self._main_open
            self._main_open = (name, depth + (tag == name))
        elif not self.main and (tag == "main" or told.get("role") == "main"):
            self.main.append(len(self.parts))
            self._main_open = (tag, 1)
        self._preformatted += tag == "pre"
        if tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag == "br":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            name, depth = self._skipped
            left = depth - (tag == name)
            self._skipped = (name, left) if left else None
            return
        if tag in _BLOCKS:
            self.parts.append("\n\n")
        self._preformatted = max(0, self._preformatted - (tag == "pre"))
        if self._main_open:
            name, depth = self._main_open
            left = depth - (tag == name)
            self._main_open = (name, left) if left else None
            if not left:
                self.main.append(len(self.parts))

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.parts.append(data if self._preformatted else re.sub(r"\s+", " ", data))


def _raw(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _decoded(path: Path) -> str:
    return _raw(path).decode("utf-8", "replace")


def text(path: Path) -> Iterator[str]:
    """A file of plain text."""
    yield _decoded(path)


def html(path: Path) -> Iterator[str]:
    """A page of HTML or of a help system."""
    page = _Page()
    page.feed(_decoded(path))
    page.close()
    yield "".join(page.parts[slice(*(page.main or [0])[:2])] if page.main else page.parts)


def man(path: Path) -> Iterator[str]:
    """A manual page, set by groff in lines that never end."""
    command = ["groff", "-k", "-mandoc", "-Tutf8", "-P-cbou", "-rLL=100000n", "-rIN=0"]
    set_text = subprocess.run(command, input=_raw(path), capture_output=True, check=True).stdout  # noqa: S603
    yield re.sub(r"(?m)^.*\(\d\w*\)\s{10,}.*$", "", set_text.decode("utf-8", "replace"))


def pod(path: Path) -> Iterator[str]:
    """Documentation of Perl."""
    command = ["pod2text", "-w", "100000", "-u", str(path)]
    yield subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")  # noqa: S603


def dictionary(path: Path) -> Iterator[str]:
    """Entries of a dictionary in the format of dictd, some together."""
    entries = re.split(r"\n(?=\S)", _decoded(path))
    yield from _together((re.sub(r"\s*\n\s+", " ", entry) for entry in entries), "\n", 3000)


def sword(path: Path) -> Iterator[str]:
    """The books or chapters of a compressed module of SWORD, whose index lies beside it."""
    packed = path.read_bytes()
    index = path.with_suffix(path.suffix[:-1] + "s").read_bytes()
    for offset, size, _ in struct.iter_unpack("<III", index[: len(index) // 12 * 12]):
        if size == 0:
            continue
        marked = zlib.decompress(packed[offset : offset + size]).decode("utf-8", "replace")
        for chapter in re.split(r"<chapter[^>]*>", marked):
            plain = re.sub(r"(?s)<(note|title)\b[^>]*>.*?</\1>", " ", chapter)
            plain = re.sub(r"<(br|lb|p|l|lg|div|milestone)\b[^>]*>|</(p|div)>", "\n\n", plain)
            plain = unescape(re.sub(r"<[^>]*>", "", plain)).replace("\0", " ")
            yield re.sub(r"[ \t]+", " ", plain)


def r_lines(path: Path) -> Iterator[str]:
    """Chapters of the books that an R package keeps as lines in its database of lazy values."""
    content, position = path.read_bytes(), 0
    while position + 5 < len(content):
        unpack = zlib.decompressobj()
        try:
            values = unpack.decompress(content[position + 4 :])
        except zlib.error:
            return
        position = len(content) - len(unpack.unused_data)
        lines, end = [], 0
        for found in re.finditer(rb"\x00[\x04\x00\x08]\x00\x09(....)", values, re.DOTALL):
            length = struct.unpack(">I", found[1])[0]
            if found.start() >= end and length < 10_000:
                end = found.end() + length
                lines.append(values[found.end() : end].decode("utf-8", "replace"))
        if len(lines) > 500:
            for chapter in re.split(r"\n(?=(?:CHAPTER|Chapter|LETTER)\b)", "\n".join(lines)):
                yield re.sub(r"(?<=[^\n])\n(?=[^\n\s])", " ", chapter)


def _together(parts: Iterator[str], between: str, characters: int) -> Iterator[str]:
    held: list[str] = []
    for part in parts:
        if held and sum(map(len, held)) + len(part) > characters:
            yield between.join(held)
            held = []
        held.append(part)
    if held:
        yield between.join(held)


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    reader.__name__: reader for reader in (text, html, man, pod, dictionary, sword, r_lines)
}
"""Readers by the name that the table of packages gives them; each yields the documents of one file."""
