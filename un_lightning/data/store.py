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
from un_lightning.files import reason


class Store:
    """Blocks of equal length, memory-mapped.

    Opens this project's stores and every folder of `datasets.save_to_disk` with a column `tokens` of
    equally long rows; there, without a manifest, documents are told apart by their EOS alone.
    """

    def __init__(self, folder: Path, check: bool = True) -> None:
        """Open a store.

        Args:
            folder: Where it lies.
            check: Compare the shards with the hashes in the manifest; one process of a run is enough.

        Raises:
            UserError: The folder is missing, is no store, is damaged, or holds rows of different lengths.
        """
        self.folder = folder
        self.manifest = _manifest(folder)
        if check:
            self._check_hashes()
        table = _load(folder)
        self.tokens = _Rows(table, "tokens", folder)
        self.context = self.tokens.width
        self.blocks = len(table)
        self.document = _Rows(table, "document", folder) if self.manifest else None
        labels = table.data.column("subset").to_pylist() if "subset" in table.column_names else []
        names = [str(label) for label in labels]
        self.subsets = sorted(set(names)) or ["all"]
        codes = {name: code for code, name in enumerate(self.subsets)}
        self.subset = np.array([codes[name] for name in names] or [0] * self.blocks, dtype=np.int64)
        self.offset = np.zeros(self.blocks, dtype=np.int64)
        """Tokens of each block's first document that lie in earlier blocks; 0 where nobody noted them."""
        if self.manifest:
            self.offset += table.data.column("offset").to_numpy()
        self.fingerprint = str(table._fingerprint)
        """Differs between stores of different text."""

    def description(self) -> str:
        """What the text is made of and what was left out of it, in a line; empty where nothing was."""
        shares = self.manifest.get("subsets", {})
        problems = self.manifest.get("problems", {})
        if not problems:
            return ""
        parts = ", ".join(
            f"{subset} {count / self.blocks:.0%}" for subset, count in sorted(shares.items()) if count
        )
        left = ", ".join(f"{count:,} {what}" for what, count in problems.items())
        line = f"Text: {self.manifest['documents']:,} documents: {parts}"
        return f"{line}; left out or odd: {left}"

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

    def highest(self, rows: Int[ndarray, " blocks"]) -> int:
        """The largest token id in some blocks."""
        return max(int(self.read(rows[start : start + 4096]).max()) for start in range(0, len(rows), 4096))

    def _check_hashes(self) -> None:
        for shard in self.manifest.get("shards", []):
            path = self.folder / shard["file"]
            try:
                found = file_hash(path)
            except OSError as error:
                raise UserError(
                    f"the store {self.folder} lacks {shard['file']} ({reason(error)}): "
                    "delete the folder to remake it"
                ) from error
            if found != shard["hash"]:
                raise UserError(
                    f"{path} is not the file that was written (its hash differs): "
                    f"delete {self.folder} to remake the store"
                )


class _Rows:
    """One column of equally long integer lists as numpy views of the memory map."""

    def __init__(self, table: Dataset, column: str, folder: Path) -> None:
        chunks = [chunk for chunk in table.data.column(column).chunks if len(chunk)]
        if not all(_holds_integers(chunk.type) for chunk in chunks):
            raise UserError(f"{folder}: '{column}' is {chunks[0].type}, but must be lists of integers")
        lengths = {length for chunk in chunks for length in _lengths(chunk)}
        if len(lengths) != 1 or 0 in lengths or any(chunk.flatten().null_count for chunk in chunks):
            raise UserError(
                f"{folder}: the rows of '{column}' differ in length or lack values "
                f"(lengths {', '.join(map(str, sorted(lengths)[:5]))}): cut them into blocks of one length"
            )
        self.width = lengths.pop()
        self.views = [chunk.flatten().to_numpy().reshape(len(chunk), self.width) for chunk in chunks]
        self.starts = np.cumsum([0] + [len(view) for view in self.views])

    def read(self, rows: Int[ndarray, " rows"]) -> Int[ndarray, "rows width"]:
        """The chosen rows, copied, as int64."""
        out = np.empty((len(rows), self.width), dtype=np.int64)
        where = np.searchsorted(self.starts, rows, side="right") - 1
        for chunk in np.unique(where):
            chosen = where == chunk
            out[chosen] = self.views[chunk][rows[chosen] - self.starts[chunk]]
        return out


def _holds_integers(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists) and pa.types.is_integer(kind.value_type)


def _lengths(chunk: pa.Array) -> list[int]:
    """The different lengths of a chunk's lists; a missing list has length 0."""
    missing = [0] if chunk.null_count else []
    if pa.types.is_fixed_size_list(chunk.type):
        return [*missing, chunk.type.list_size]
    return [*missing, *np.unique(np.diff(chunk.offsets.to_numpy())).tolist()]


def _manifest(folder: Path) -> dict:
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: delete {folder} to remake the store") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path} is damaged: delete {folder} to remake the store")
    return manifest


def _load(folder: Path) -> Dataset:
    if not folder.is_dir():
        raise UserError(
            f"there is no store at {folder}: check data.path, or make one with experiments/prepare.py"
        )
    try:
        table = load_from_disk(str(folder))
    except IndexError as error:  # what `datasets` says to a table without any file of rows
        raise UserError(f"{folder} holds no rows") from error
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UserError(f"{folder} is no token store that `datasets` can open: {error}") from error
    if not isinstance(table, Dataset):
        raise UserError(
            f"{folder} holds several splits ({', '.join(map(str, table))}): name one of their folders"
        )
    if "tokens" not in table.column_names:
        raise UserError(f"{folder} has no column 'tokens', only {', '.join(table.column_names)}")
    if len(table) == 0:
        raise UserError(f"{folder} holds no rows")
    return table
