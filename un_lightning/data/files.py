"""The source `files`: jsonl, jsonl.zst, parquet and txt, from a file, a folder or a glob."""

import glob
import io
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from un_lightning.config import DataConfig, Order
from un_lightning.data.documents import Document, belongs, chosen_facts
from un_lightning.data.order import in_seeded_order
from un_lightning.data.records import Candidate, Reader, Record, parse
from un_lightning.errors import UserError
from un_lightning.files import reason


ENDINGS = (".jsonl", ".jsonl.zst", ".parquet", ".txt")

Wanted = Callable[[str], bool]


class Files:
    """Documents of every matching file, in a seeded order over all of them or in the order of the paths.

    A record that is no JSON, or has no text, is counted in `problems` and skipped. A file that cannot be
    read, or that was cut off, ends the reading with a `UserError` that names it.
    """

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.problems: Counter[str] = Counter()
        self.reader = Reader(config, self.problems)
        self.paths = _expand(str(config.path))
        """For each file its path and its name below `data.path`, the same wherever the folder lies."""

    def fingerprint(self) -> dict[str, object]:
        """Names, sizes and times of the files, and what is read of them in which order."""
        try:
            files = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in self.paths]
        except OSError as error:
            raise UserError(f"cannot read {error.filename}: {reason(error)}") from error
        columns = [self.config.text_column, self.config.subset_column]
        return {"kind": "files", "files": files, "columns": columns} | chosen_facts(self.config)

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents of this part that are long enough."""
        c = self.config
        given = c.order is Order.given
        found = self._all(lambda _: True) if given else in_seeded_order(self._all, c.draw)
        for candidate in found:
            document = self.reader.read(candidate)
            if document is not None:
                yield document
        self.reader.finish()

    def _all(self, wanted: Wanted) -> Iterator[Candidate]:
        """Documents of the part in the order of the paths, without those that nobody wants."""
        self.problems.pop(self._left, None)
        part = self.config.part
        for path, below in self.paths.items():

            def wants(name: str) -> bool:
                if belongs(name, part):
                    return wanted(name)
                self.problems[self._left] += 1
                return False

            try:
                yield from self._candidates(path, below, wants)
            except (OSError, pa.ArrowException) as error:
                raise UserError(f"cannot read {path}: {error}") from error

    @property
    def _left(self) -> str:
        return f"not in data.part={self.config.part}"

    def _candidates(self, path: Path, below: str, wants: Wanted) -> Iterator[Candidate]:
        if path.name.endswith(".parquet"):
            yield from self._of_table(path, below, wants)
        elif path.name.endswith(".txt"):
            if wants(name := f"{below}#0"):
                yield Candidate(name, path.stat().st_size, partial(self._whole, path))
        else:
            with _lines(path) as lines:
                for index, line in enumerate(line for line in lines if not line.isspace()):
                    if wants(name := f"{below}#{index}"):
                        yield Candidate(name, len(line), partial(parse, line))

    def _whole(self, path: Path) -> Record:
        try:
            return {self.config.text_column: path.read_text(encoding="utf-8-sig", errors="replace")}
        except OSError as error:
            raise UserError(f"cannot read {path}: {error}") from error

    def _of_table(self, path: Path, below: str, wants: Wanted) -> Iterator[Candidate]:
        columns = {"text_column": self.config.text_column, "subset_column": self.config.subset_column}
        with pq.ParquetFile(path) as table:
            names = table.schema_arrow.names
            roots = []
            for key, column in columns.items():
                if column is None:
                    continue
                root = column if column in names else column.split(".")[0]
                if root not in names:
                    raise UserError(f"{path} has no column '{root}', only {', '.join(names)}: set data.{key}")
                roots.append(root)
            index = 0
            for batch in table.iter_batches(batch_size=256, columns=roots):
                named = [(row, f"{below}#{index + row}") for row in range(len(batch))]
                index += len(batch)
                kept = [(row, name) for row, name in named if wants(name)]
                records: list[Any] = batch.take(pa.array([row for row, _ in kept], pa.int64())).to_pylist()
                for (_, name), record in zip(kept, records, strict=True):
                    text = record.get(roots[0])
                    size = len(text) if isinstance(text, str) else 1
                    yield Candidate(name, size, lambda record=record: record)


def _expand(pattern: str) -> dict[Path, str]:
    path = Path(pattern).expanduser()
    root = path
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.name.endswith(ENDINGS) and not p.is_dir()]
    elif path.is_file():
        found, root = [path], path.parent
    else:
        found = [Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file()]
        root = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
    names = {p: p.relative_to(root).as_posix() for p in sorted(found)}
    if not path.is_file():
        names = {p: name for p, name in names.items() if not _is_copy(name)}
    if not names:
        raise UserError(
            f"data.path={pattern}: no such file, or no file in it that ends in {', '.join(ENDINGS)}"
        )
    unknown = [p for p in names if not p.name.endswith(ENDINGS)]
    if unknown:
        raise UserError(f"{unknown[0]}: the ending must be one of {', '.join(ENDINGS)}")
    return names


def _is_copy(name: str) -> bool:
    """Whether a file is hidden or in a hidden folder, as copies of editors and notebooks are."""
    return name.endswith("~") or any(part.startswith(".") for part in name.split("/"))


def _lines(path: Path) -> io.TextIOBase:
    # Arrow's reader notices where a compressed file was cut off; that of zstandard takes it for the end.
    compression = "zstd" if path.name.endswith(".zst") else None
    stream: Any = pa.input_stream(str(path), compression=compression)
    return io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), encoding="utf-8-sig", errors="replace")
