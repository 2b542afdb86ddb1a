"""A store of token blocks on disk: opened, checked, read by index."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, load_from_disk
from jaxtyping import Int
from numpy import ndarray

from un_lightning.data.writer import MANIFEST, file_hash
from un_lightning.errors import UserError


class Store:
    """Blocks of equal length, memory-mapped.

    Opens this project's stores and every folder of `datasets.save_to_disk` with a column `tokens` of
    equally long rows; there, without a manifest, documents are told apart by their EOS alone.

    Raises:
        UserError: The folder is missing, is no store, is damaged, or holds rows of different lengths.
    """

    def __init__(self, folder: Path, check: bool = True) -> None:
        self.folder = folder
        self.manifest = _manifest(folder)
        if check:
            self._check_hashes()
        table = _load(folder)
        self.tokens = _Rows(table, "tokens", folder)
        self.context = self.tokens.width
        self.blocks = len(table)
        self.document = _Rows(table, "document", folder) if self.manifest else None
        labels = table.data.column("subset") if "subset" in table.column_names else None
        names = labels.to_pylist() if labels is not None else []
        self.subsets = sorted({str(name) for name in names}) or ["all"]
        codes = {name: code for code, name in enumerate(self.subsets)}
        self.subset = np.array([codes[str(name)] for name in names] or [0] * self.blocks, dtype=np.int64)

    def read(self, rows: Int[ndarray, " blocks"]) -> Int[ndarray, "blocks context"]:
        """Tokens of the blocks `rows`, as int64."""
        return self.tokens.read(rows)

    def documents(
        self, rows: Int[ndarray, " blocks"], tokens: Int[ndarray, "blocks context"], eos: int | None
    ) -> Int[ndarray, "blocks context"]:
        """Document index of every token, -1 at the first position.

        In a foreign table a document ends with an EOS or with its block, and the indices only tell
        neighbours apart.
        """
        if self.document is not None:
            return self.document.read(rows)
        ends = np.zeros_like(tokens) if eos is None else (tokens == eos).astype(tokens.dtype)
        ends[:, 0] = 0
        number = np.cumsum(ends, axis=1) - ends  # an EOS belongs to the document it ends
        documents = rows[:, None] * self.context + number
        documents[:, 0] = -1
        return documents

    def _check_hashes(self) -> None:
        for shard in self.manifest.get("shards", []):
            path = self.folder / shard["file"]
            if not path.exists():
                raise UserError(
                    f"the store {self.folder} lacks {shard['file']}: delete the folder to remake it"
                )
            if file_hash(path) != shard["hash"]:
                raise UserError(
                    f"{path} is not the file that was written (its hash differs): "
                    f"delete {self.folder} to remake the store"
                )


class _Rows:
    """One column of equally long integer lists as numpy views of the memory map."""

    def __init__(self, table: Dataset, column: str, folder: Path) -> None:
        self.views: list[np.ndarray] = []
        widths = set()
        for chunk in table.data.column(column).chunks:
            if len(chunk) == 0:
                continue
            values = chunk.flatten().to_numpy(zero_copy_only=False)
            if len(values) % len(chunk) or not _equal_lengths(chunk):
                raise UserError(f"{folder}: the rows of '{column}' differ in length")
            widths.add(len(values) // len(chunk))
            self.views.append(values.reshape(len(chunk), -1))
        if len(widths) != 1:
            raise UserError(
                f"{folder}: the rows of '{column}' are empty or differ in length: {sorted(widths)}"
            )
        self.width = widths.pop()
        self.starts = np.cumsum([0] + [len(view) for view in self.views])

    def read(self, rows: Int[ndarray, " rows"]) -> Int[ndarray, "rows width"]:
        """The chosen rows, copied, as int64."""
        out = np.empty((len(rows), self.width), dtype=np.int64)
        where = np.searchsorted(self.starts, rows, side="right") - 1
        for chunk in np.unique(where):
            chosen = where == chunk
            out[chosen] = self.views[chunk][rows[chosen] - self.starts[chunk]]
        return out


def _equal_lengths(chunk: pa.Array) -> bool:
    if pa.types.is_fixed_size_list(chunk.type):
        return True
    lengths = np.diff(chunk.offsets.to_numpy())
    return bool((lengths == lengths[0]).all())


def _manifest(folder: Path) -> dict:
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged: delete {folder} to remake the store") from error


def _load(folder: Path) -> Dataset:
    if not folder.is_dir():
        raise UserError(
            f"there is no store at {folder}: check data.path, or make one with experiments/prepare.py"
        )
    try:
        table = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{folder} is no token store that `datasets` can open: {error}") from error
    if not isinstance(table, Dataset):
        raise UserError(f"{folder} holds several splits ({', '.join(table)}): name one of their folders")
    if "tokens" not in table.column_names:
        raise UserError(f"{folder} has no column 'tokens', only {', '.join(table.column_names)}")
    if len(table) == 0:
        raise UserError(f"{folder} holds no rows")
    return table.flatten_indices() if table._indices is not None else table
