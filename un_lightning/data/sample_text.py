"""The source `sample`: text that ships with the package, the same on every machine."""

from dataclasses import replace
from pathlib import Path

from un_lightning.config import DataConfig, Part
from un_lightning.data.documents import chosen_facts
from un_lightning.data.files import Files
from un_lightning.data.writer import file_hash


SAMPLE = Path(__file__).with_name("sample") / "documents.jsonl.zst"
"""Excerpts with subset, package, version and licence (`sample/NOTICE`), as docs/corpus.md makes them."""


class SampleText(Files):
    """The documents of the sample. All are held out: no family that ships was trained on any of them."""

    def __init__(self, config: DataConfig) -> None:
        super().__init__(replace(config, path=str(SAMPLE), subset_column="subset", part=Part.all))

    def fingerprint(self) -> dict[str, object]:
        """The hash of the text, and not where or when it was installed."""
        return {"kind": "sample", "hash": file_hash(SAMPLE)} | chosen_facts(self.config)
