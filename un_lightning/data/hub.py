"""The source `hub`: a Hugging Face dataset, streamed."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from un_lightning.config import DataConfig, Order
from un_lightning.data.documents import Document, belongs, chosen_facts, stable_hash
from un_lightning.data.order import in_turn, order_key
from un_lightning.data.records import Candidate, Reader
from un_lightning.errors import UserError


SHARDS_AT_ONCE = 8
"""Shards that are read in turn."""

BUFFER = 10_000
"""Documents among which the next one is drawn; a stream has no end from which all could be drawn."""


class Hub:
    """Documents of a streamed dataset, with the subset label of `subset_column`.

    In a seeded order its shards are shuffled, some are read in turn, and each document comes from a buffer.
    A dataset of one shard is mixed within the buffer alone: only its beginning is read.
    """

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.problems: Counter[str] = Counter()
        self.reader = Reader(config, self.problems)

    def fingerprint(self) -> dict[str, object]:
        """Dataset, configuration, split, revision and columns, and what is read of it in which order."""
        c = self.config
        about = {
            "kind": "hub",
            "dataset": [c.path, c.subset_name, c.split, c.revision],
            "columns": [c.text_column, c.subset_column],
        }
        return about | chosen_facts(c)

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents of this part; fails with a `UserError` where the hub cannot be reached."""
        c = self.config
        found = self._all()
        for candidate in found if c.order is Order.given else _mixed(found, c.draw):
            document = self.reader.read(candidate)
            if document is not None:
                yield document
        self.reader.finish()

    def _all(self) -> Iterator[Candidate]:
        for name, record in self._records():
            if belongs(name, self.config.part):
                text = record.get(self.config.text_column)
                yield Candidate(name, len(text) if isinstance(text, str) else 1, lambda record=record: record)
            else:
                self.problems[f"not in data.part={self.config.part}"] += 1

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        from datasets import load_dataset

        c = self.config
        try:
            stream: Any = load_dataset(
                str(c.path), c.subset_name, split=c.split, revision=c.revision, streaming=True
            )
            shards = getattr(stream, "num_shards", 1)
            if shards == 1:
                waiting = [(f"{c.path}/{c.split}", stream)]
            else:
                waiting = [
                    (f"{c.path}/{c.split}/{i}", stream.shard(num_shards=shards, index=i))
                    for i in range(shards)
                ]
            seeded = c.order is Order.seeded
            if seeded:
                waiting.sort(key=lambda shard: order_key(shard[0], c.draw))
            for name, record in in_turn(iter(waiting), SHARDS_AT_ONCE if seeded else 1):
                yield name, dict(record)
        except Exception as error:  # of the hub, of httpx, aiohttp, fsspec, Arrow: they share no base
            message = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"cannot stream data.path={c.path} (split {c.split}): {message[:300]}\n"
                "Check the name and the network, or use data=files with a local copy."
            ) from error


def _mixed(candidates: Iterator[Candidate], seed: int) -> Iterator[Candidate]:
    """Documents, each put into the place of one that is drawn from a full buffer."""
    buffer: list[Candidate] = []
    for candidate in candidates:
        if len(buffer) < BUFFER:
            buffer.append(candidate)
            continue
        place = stable_hash(f"{seed}/buffer/{candidate.name}") % BUFFER
        yield buffer[place]
        buffer[place] = candidate
    yield from sorted(buffer, key=lambda candidate: order_key(candidate.name, seed))
