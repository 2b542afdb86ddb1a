"""From a source to a store: tokenise, pack, write, once for each combination of text and tokenizer."""

import dataclasses
import json
import math
import os
from itertools import islice
from pathlib import Path
from typing import Any

import xxhash
from transformers import PreTrainedTokenizerBase

from un_lightning.config import DataConfig, DataSource
from un_lightning.data.blocks import Packer
from un_lightning.data.documents import Source
from un_lightning.data.pieces import pieces_of, tokenised
from un_lightning.data.sources import open_source
from un_lightning.data.writer import MANIFEST, StoreWriter
from un_lightning.errors import CannotWriteError, UserError
from un_lightning.models.tokenizers import tokenizer_fingerprint
from un_lightning.progress import Meter
from un_lightning.results.runs import lock


def blocks_needed(config: DataConfig) -> int:
    """Blocks that hold `data.tokens` tokens, rounded up."""
    return math.ceil(config.tokens / config.context)


def prepare_store(config: DataConfig, tokenizer: PreTrainedTokenizerBase) -> Path:
    """The folder of the store that `config` needs, made now if it is missing.

    A store is named after its source and a hash of all that it depends on, so it is made once and a
    change of the text or the tokenizer makes another. Other processes that want the same store wait.

    Raises:
        UserError: The source cannot be read, the disk is full, or the tokenizer has neither BOS nor EOS.
    """
    if config.source is DataSource.store:
        return Path(str(config.path)).expanduser()
    special_ids(tokenizer)
    source = open_source(config)
    identity = {
        "source": source.fingerprint(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "context": config.context,
        "blocks": blocks_needed(config),
    }
    key = xxhash.xxh3_64_hexdigest(json.dumps(identity, sort_keys=True).encode())
    final = _store_root(config) / f"{config.source}-{config.part}-{key}"
    if final.exists():  # a store gets its name when it is whole
        if not (final / MANIFEST).exists():
            raise UserError(f"{final} is no store, for {MANIFEST} is missing: delete the folder to remake it")
        return final
    partial = final.with_suffix(".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with lock(partial, wait=True):
            if not final.exists():
                _write(config, tokenizer, source, partial, final, identity)
    except (OSError, CannotWriteError) as error:
        raise UserError(
            f"the token store {partial} cannot be written: {error}\n"
            "Free some space or choose another folder with data.store=<folder>; "
            "the finished shards are kept and the next run goes on from them."
        ) from error
    return final


def _store_root(config: DataConfig) -> Path:
    cache = os.environ.get("UN_LIGHTNING_CACHE") or Path.home() / ".cache" / "un-lightning"
    return Path(config.store or cache).expanduser() / ("" if config.store else "stores")


def special_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Ids of BOS and EOS; a tokenizer with one of them uses it for both, as GPT-2 does.

    Raises:
        UserError: It has neither.
    """
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    bos, eos = (eos if bos is None else bos), (bos if eos is None else eos)
    if not isinstance(bos, int) or not isinstance(eos, int):
        raise UserError(f"the tokenizer {tokenizer.name_or_path} has neither a BOS nor an EOS token")
    return bos, eos


def _write(
    config: DataConfig,
    tokenizer: PreTrainedTokenizerBase,
    source: Source,
    partial: Path,
    final: Path,
    identity: dict[str, Any],
) -> None:
    needed = blocks_needed(config)
    bos, eos = special_ids(tokenizer)
    writer = StoreWriter(partial, Packer(config.context, bos, eos))
    done = writer.resume()
    documents = islice(iter(source), done, None) if writer.blocks < needed else iter(())
    meter = Meter("Preparing", needed * config.context, writer.blocks * config.context)
    pieces = islice(pieces_of(documents), writer.pieces, None)
    for ids, piece in tokenised(pieces, tokenizer):
        before = writer.blocks
        writer.add(ids, piece.subset, piece.ends)
        meter.advance((writer.blocks - before) * config.context)
        if writer.blocks >= needed:
            break
    meter.close()
    if writer.blocks == 0:
        raise UserError(
            f"data.source={config.source} gave no block of {config.context} tokens "
            f"from {writer.documents} documents (left out: {_skipped(source)}): check data.path, "
            "data.text_column, data.min_characters and data.part"
        )
    manifest = identity | {
        "config": {k: str(v) for k, v in dataclasses.asdict(config).items()},
        "bos": bos,
        "eos": eos,
        "problems": dict(source.problems),
    }
    writer.finish(final, manifest)


def _skipped(source: Source) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in source.problems.items()) or "none"
