"""Make a corpus of English text from Debian packages, and the sample that ships with this project.

    python experiments/make_corpus.py fetch packages               # apt-get download, unpack
    python experiments/make_corpus.py corpus packages corpus       # corpus/<subset>.jsonl
    python experiments/make_corpus.py sample packages un_lightning/data/sample

`packages` is a folder with one unpacked package a folder, from `fetch` or from anywhere. See docs/corpus.md.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import xxhash
import yaml
import zstandard
from corpus_readers import READERS


TABLE = Path(__file__).with_name("corpus.yaml")
MINIMUM = 400
"""Shorter documents are left out: titles, redirects, lists of links."""

COMMON = frozenset(
    [
        "the",
        "of",
        "and",
        "to",
        "a",
        "in",
        "is",
        "that",
        "for",
        "it",
        "with",
        "as",
        "be",
        "this",
        "are",
        "on",
        "by",
        "or",
        "not",
        "you",
        "from",
        "can",
        "if",
        "an",
        "which",
    ]
)
"""A text is English if these are at least a tenth of its words."""

EXCERPT = 2_400
"""Characters of a document in the sample, whole paragraphs."""

SHARE = 190_000
"""Characters of a subset in the sample."""


def packages() -> dict[str, dict[str, Any]]:
    """The table of packages."""
    return yaml.safe_load(TABLE.read_text())["packages"]


def fetch(folder: Path) -> None:
    """Download and unpack the packages that are not there yet, and note their versions."""
    for name in packages():
        target = folder / name
        if target.exists():
            continue
        with tempfile.TemporaryDirectory() as work:
            subprocess.run(["apt-get", "download", "-qq", name], cwd=work, check=True)  # noqa: S603, S607
            (file,) = Path(work).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(file), str(target)], check=True)  # noqa: S603, S607
            field = ["dpkg-deb", "-f", str(file), "Version"]
            version = subprocess.run(field, check=True, capture_output=True, text=True).stdout  # noqa: S603
        (target / "VERSION").write_text(version)


def documents(folder: Path, name: str, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of one package in the order of their files' names."""
    root = folder / name
    version = (root / "VERSION").read_text().strip()
    wanted = re.compile(about["files"])
    found = []
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        if not wanted.search(f"/{place}") or path.is_symlink() or not path.is_file():
            continue
        for number, text in enumerate(READERS[about["reader"]](path)):
            clean = tidy(text)
            if len(clean) >= MINIMUM and english(clean):
                told = {"subset": about["subset"], "name": f"{name}/{place}#{number}", "package": name}
                told |= {"version": version, "licence": about["licence"], "ship": about["ship"]}
                found.append({"text": clean} | told)
    return found


def tidy(text: str) -> str:
    """The text without spaces at the ends of lines, pilcrows and runs of empty lines."""
    lines = [line.rstrip() for line in text.replace("\xa0", " ").replace("\N{PILCROW SIGN}", "").split("\n")]
    lines = [line.lstrip() if len(line) - len(line.lstrip()) == 1 else line for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def english(text: str) -> bool:
    """Whether it is prose enough, and not a table or an index."""
    words = re.findall(r"[a-z']+", text.lower())
    return sum(word in COMMON for word in words) * 10 >= len(words) > 40


def rank(text: str) -> int:
    """A number that puts documents into an order that is mixed and the same everywhere."""
    return xxhash.xxh64_intdigest(text.encode())


def read_all(folder: Path, table: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All documents, without those whose text has come before."""
    there = {name: about for name, about in table.items() if (folder / name).is_dir()}
    missing = sorted(table.keys() - there.keys())
    if missing:
        print(f"not in {folder}, left out: {', '.join(missing)}")  # noqa: T201
    seen: set[int] = set()
    with ProcessPoolExecutor() as pool:
        for found in pool.map(documents, [folder] * len(there), there, there.values()):
            for document in found:
                key = rank(document["text"])
                if key not in seen:
                    seen.add(key)
                    yield document


def corpus(folder: Path, out: Path) -> None:
    """Write every document of every package that is no source of the sample, a file for each subset."""
    out.mkdir(parents=True, exist_ok=True)
    table = {name: about for name, about in packages().items() if not about.get("sample")}
    kept: dict[str, list[dict[str, Any]]] = {}
    for document in read_all(folder, table):
        kept.setdefault(document["subset"], []).append(document)
    for subset, rows in kept.items():
        rows.sort(key=lambda row: rank(row["name"]))
        write(out / f"{subset}.jsonl", rows)
        print(f"{subset}: {len(rows)} documents, {sum(len(row['text']) for row in rows):,} characters")  # noqa: T201
    provenance = {
        (
            row["subset"],
            row["package"],
            row["version"],
            row["licence"],
            "ship" if row["ship"] else "train only",
        )
        for rows in kept.values()
        for row in rows
    }
    (out / "packages.tsv").write_text("".join("\t".join(line) + "\n" for line in sorted(provenance)))


def sample(folder: Path, out: Path) -> None:
    """Write the sample: of every subset an equal share, one excerpt a document, in a mixed order."""
    table = {name: about for name, about in packages().items() if about.get("sample")}
    held: Counter[str] = Counter()
    rows = []
    for document in sorted(read_all(folder, table), key=lambda row: rank(row["name"])):
        if not document["ship"]:
            raise SystemExit(f"{document['package']} may not be shipped: mend {TABLE}")
        document["text"] = excerpt(document["text"], document["name"])
        if held[document["subset"]] < SHARE and len(document["text"]) >= MINIMUM:
            held[document["subset"]] += len(document["text"])
            rows.append(
                {key: document[key] for key in ("text", "subset", "name", "package", "version", "licence")}
            )
    rows.sort(key=lambda row: rank(f"order of {row['name']}"))
    out.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    (out / "documents.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=22).compress(content))
    print(f"{len(rows)} documents, {sum(held.values()):,} characters: {dict(held)}")  # noqa: T201


def excerpt(text: str, name: str) -> str:
    """Whole paragraphs up to `EXCERPT` characters, from a place that the document's name draws."""
    paragraphs = [part for long in text.split("\n\n") for part in _cut(long)]
    after = [sum(map(len, paragraphs[start:])) for start in range(len(paragraphs))]
    starts = [start for start, left in enumerate(after) if left >= EXCERPT] or [0]
    first = starts[rank(f"excerpt of {name}") % len(starts)]
    last, size = first, 0
    while last < len(paragraphs) and size + len(paragraphs[last]) <= EXCERPT:
        size += len(paragraphs[last]) + 2
        last += 1
    return "\n\n".join(paragraphs[first:last]).strip()


def _cut(paragraph: str) -> list[str]:
    """A paragraph that is longer than an excerpt, by its sentences."""
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph) if len(paragraph) > EXCERPT else [paragraph]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON record a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["fetch", "corpus", "sample"])
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    asked = parser.parse_args()
    if asked.what == "fetch":
        fetch(asked.packages)
    elif asked.out is None:
        parser.error(f"{asked.what} needs the folder to write")
    else:
        {"corpus": corpus, "sample": sample}[asked.what](asked.packages, asked.out)
