"""Writes a store shard by shard, so that a killed preparation goes on where it was."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from datasets import Features, List, Value

from un_lightning.data.blocks import Block, Packer
from un_lightning.files import atomic_path, atomic_write


MANIFEST = "manifest.json"
PROGRESS = "progress.json"


def file_hash(path: Path) -> str:
    """XXH3-128 of a file's bytes, in hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


class StoreWriter:
    """A folder of Arrow shards that becomes a store when `finish` renames it.

    After each shard `progress.json` says how many documents are in the shards and what the packer had
    left over, so `resume` restores the exact state. Files of an unfinished shard are written again.
    """

    def __init__(self, folder: Path, packer: Packer, shard_rows: int = 8192) -> None:
        self.folder = folder
        self.packer = packer
        self.shard_rows = shard_rows
        self.rows: list[Block] = []
        self.shards: list[dict[str, Any]] = []
        self.documents = 0
        """Documents that are in the shards or in the packer with their ends."""
        self.pieces = 0
        """Pieces of the document that is not at its end."""
        self.counts: Counter[str] = Counter()
        """Documents of each subset, begun or whole."""
        self.subsets: Counter[str] = Counter()
        self.features = Features(
            tokens=List(Value("int32"), length=packer.context),
            document=List(Value("int32"), length=packer.context),
            offset=Value("int64"),
            subset=Value("string"),
        )

    @property
    def blocks(self) -> int:
        """Blocks written so far, those of the open shard included."""
        return sum(shard["rows"] for shard in self.shards) + len(self.rows)

    def resume(self) -> int:
        """Restore the state after the last whole shard; return how many documents went into it."""
        path = self.folder / PROGRESS
        if path.exists():
            state = json.loads(path.read_text())
            self.shards, self.documents = state["shards"], state["documents"]
            self.pieces = state.get("pieces", 0)
            self.counts = Counter(state.get("counts"))
            self.subsets = Counter(state["subsets"])
            self.packer.left = {
                subset: (np.array(tokens, np.int32), np.array(documents, np.int32), offset)
                for subset, (tokens, documents, offset) in state["left"].items()
            }
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.documents

    def add(self, ids: list[int], subset: str, ends: bool = True) -> None:
        """Append tokens of a document, up to its end or not; closes the shard when it is full."""
        blocks = self.packer.add(ids, self.documents, subset, ends)
        self.counts[subset] += self.pieces == 0
        self.documents += ends
        self.pieces = 0 if ends else self.pieces + 1
        self.rows += blocks
        self.subsets[subset] += len(blocks)
        if len(self.rows) >= self.shard_rows:
            self._close_shard()

    def finish(self, final: Path, manifest: dict[str, Any]) -> None:
        """Write what is open, the files that `datasets` needs and the manifest; rename to `final`."""
        if self.rows:
            self._close_shard()
        about = {"features": self.features.to_dict(), "splits": {}}
        state = {
            "_data_files": [{"filename": shard["file"]} for shard in self.shards],
            "_fingerprint": xxhash.xxh64_hexdigest(json.dumps(self.shards).encode()),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        atomic_write(self.folder / "dataset_info.json", json.dumps(about, indent=1))
        atomic_write(self.folder / "state.json", json.dumps(state, indent=1))
        counts = {
            "blocks": self.blocks,
            "context": self.packer.context,
            "documents": self.documents + (self.pieces > 0),
            "documents_by_subset": dict(sorted(self.counts.items())),
            "subsets": dict(sorted(self.subsets.items())),
            "shards": self.shards,
        }
        atomic_write(self.folder / MANIFEST, json.dumps(manifest | counts, indent=1))
        (self.folder / PROGRESS).unlink(missing_ok=True)
        os.replace(self.folder, final)

    def _close_shard(self) -> None:
        path = self.folder / f"data-{len(self.shards):05d}.arrow"
        columns = {
            "tokens": np.stack([row.tokens for row in self.rows]),
            "document": np.stack([row.document for row in self.rows]),
        }
        context = self.packer.context
        table = pa.table(
            {
                name: pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), context)
                for name, values in columns.items()
            }
            | {
                "offset": pa.array([row.offset for row in self.rows], pa.int64()),
                "subset": pa.array([row.subset for row in self.rows], pa.string()),
            },
            schema=self.features.arrow_schema,
        )
        with (
            atomic_path(path) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as stream,
        ):
            stream.write_table(table)
        self.shards.append({"file": path.name, "rows": len(self.rows), "hash": file_hash(path)})
        self.rows = []
        left = {s: [t.tolist(), d.tolist(), o] for s, (t, d, o) in self.packer.left.items()}
        state = {
            "shards": self.shards,
            "documents": self.documents,
            "pieces": self.pieces,
            "counts": dict(self.counts),
            "subsets": dict(self.subsets),
            "left": left,
        }
        atomic_write(self.folder / PROGRESS, json.dumps(state))
