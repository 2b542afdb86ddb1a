"""The source `files`: jsonl, jsonl.zst, parquet and txt, from a file, a folder or a glob."""

import glob
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from un_lightning.config import DataConfig
from un_lightning.data.documents import Document, belongs
from un_lightning.errors import UserError
from un_lightning.files import reason


ENDINGS = (".jsonl", ".jsonl.zst", ".parquet", ".txt")

MISSING_SUBSET = "all"
"""Subset of a document without a label."""


class Files:
    """Documents of every matching file, in the order of the paths.

    A record that is no JSON, or has no text, is counted in `problems` and skipped. A file that cannot be
    read, or that was cut off, ends the reading with a `UserError` that names it.
    """

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.problems: Counter[str] = Counter()
        self.paths = _expand(str(config.path))

    def fingerprint(self) -> dict[str, object]:
        """Names, sizes and times of the files, and the columns that are read."""
        try:
            files = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in self.paths]
        except OSError as error:
            raise UserError(f"cannot read {error.filename}: {reason(error)}") from error
        return {
            "kind": "files",
            "files": files,
            "part": str(self.config.part),
            "minimum": self.config.min_characters,
            "columns": [self.config.text_column, self.config.subset_column],
        }

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents of this part that are long enough."""
        for path in self.paths:
            try:
                for index, record in enumerate(self._records(path)):
                    document = to_document(record, f"{path.name}#{index}", self.config, self.problems)
                    if document is not None:
                        yield document
            except (OSError, pa.ArrowException) as error:
                raise UserError(f"cannot read {path}: {error}") from error

    def _records(self, path: Path) -> Iterator[dict[str, Any] | None]:
        if path.name.endswith(".parquet"):
            columns = [self.config.text_column, self.config.subset_column]
            roots = [c.split(".")[0] for c in columns if c is not None]
            with pq.ParquetFile(path) as table:
                names = table.schema_arrow.names
                if roots[0] not in names:
                    raise UserError(
                        f"{path} has no column '{roots[0]}', only {', '.join(names)}: set data.text_column"
                    )
                known = [c for c in roots if c in names]
                for batch in table.iter_batches(batch_size=256, columns=known):
                    yield from batch.to_pylist()
        elif path.name.endswith(".txt"):
            yield {self.config.text_column: path.read_text(encoding="utf-8-sig", errors="replace")}
        else:
            with _lines(path) as lines:
                yield from (_parse(line) for line in lines if not line.isspace())


def to_document(
    record: dict[str, Any] | None, name: str, config: DataConfig, problems: Counter[str]
) -> Document | None:
    """The document of a record, or None (counted in `problems`) if it is broken, short or not in the part."""
    text = _reach(record, config.text_column)
    if not isinstance(text, str):
        problems["broken"] += 1
        return None
    if len(text) <= config.min_characters:
        problems["short"] += 1
        return None
    if not belongs(name, config.part):
        return None
    subset = _reach(record, config.subset_column) if config.subset_column else None
    return Document(name, _clean(text), MISSING_SUBSET if subset is None else _clean(str(subset)))


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.name.endswith(ENDINGS) and not p.is_dir()]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file()]
    if not found:
        raise UserError(
            f"data.path={pattern}: no such file, or no file in it that ends in {', '.join(ENDINGS)}"
        )
    unknown = [p for p in found if not p.name.endswith(ENDINGS)]
    if unknown:
        raise UserError(f"{unknown[0]}: the ending must be one of {', '.join(ENDINGS)}")
    return sorted(found)


def _lines(path: Path) -> io.TextIOBase:
    # Arrow's reader notices where a compressed file was cut off; that of zstandard takes it for the end.
    compression = "zstd" if path.name.endswith(".zst") else None
    stream: Any = pa.input_stream(str(path), compression=compression)
    return io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), encoding="utf-8-sig", errors="replace")


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _clean(text: str) -> str:
    """The text with question marks for half characters, which JSON can hold and no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


def _reach(record: Any, column: str) -> Any:
    """The value at a dotted column name; None where the path breaks off."""
    if isinstance(record, dict) and column in record:
        return record[column]
    for key in column.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record
