"""The source `hub`: a Hugging Face dataset, streamed."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from un_lightning.config import DataConfig
from un_lightning.data.documents import Document
from un_lightning.data.files import to_document
from un_lightning.errors import UserError


class Hub:
    """Documents of a streamed dataset in its own order, with the subset label of `subset_column`."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.problems: Counter[str] = Counter()

    def fingerprint(self) -> dict[str, object]:
        """Dataset, configuration, split, revision and columns."""
        c = self.config
        return {
            "kind": "hub",
            "dataset": [c.path, c.subset_name, c.split, c.revision],
            "columns": [c.text_column, c.subset_column],
            "part": str(c.part),
            "minimum": c.min_characters,
        }

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents of this part; fails with a `UserError` where the hub cannot be reached."""
        c = self.config
        for index, record in enumerate(self._records()):
            document = to_document(record, f"{c.path}/{c.split}#{index}", c, self.problems)
            if document is not None:
                yield document

    def _records(self) -> Iterator[dict[str, Any]]:
        from datasets import load_dataset

        c = self.config
        try:
            stream = load_dataset(
                str(c.path), c.subset_name, split=c.split, revision=c.revision, streaming=True
            )
            yield from (dict(record) for record in stream)
        except Exception as error:  # of the hub, of httpx, aiohttp, fsspec, Arrow: they share no base
            message = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"cannot stream data.path={c.path} (split {c.split}): {message[:300]}\n"
                "Check the name and the network, or use data=files with a local copy."
            ) from error
