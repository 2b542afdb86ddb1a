"""Activating examples with the text around them."""

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from un_lightning.analyses.activations.example_values import ExampleValues
from un_lightning.analyses.activations.statistics import ActivationStatistics
from un_lightning.analyses.selection import Selection
from un_lightning.analyses.token_text import decode, token_texts
from un_lightning.config import ActivationsConfig
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.prepare import special_ids
from un_lightning.stats.top_examples import NEVER


def example_table(
    config: ActivationsConfig,
    selection: Selection,
    sums: ActivationStatistics,
    data: TokenBlocks,
    values: ExampleValues | None = None,
) -> pd.DataFrame:
    """The largest activations of each neuron (`kind` is `top`) and a sample across its range (`sample`).

    One row an example: `value` is the post-activation, and `quantile` says where it lies among the values of
    the token sample (NaN for `top`). `values` are the activations at all tokens of the context, where they
    were read.
    """
    value, place = (tensor.cpu().numpy() for tensor in (sums.top.value, sums.top.place))
    unit, rank = np.nonzero(place != NEVER)
    parts = [
        {"unit": unit, "kind": "top", "rank": rank + 1, "quantile": np.nan, "place": place[unit, rank],
         "value": value[unit, rank]}
    ]  # fmt: skip
    if sums.sample is not None:
        found = sums.sample.across(config.example_quantiles, config.examples_per_bin)
        value, place, quantile = (tensor.cpu().numpy() for tensor in found)
        unit = np.repeat(np.arange(selection.count), len(value))
        rank = np.tile(np.arange(len(value)), selection.count)
        parts.append(
            {"unit": unit, "kind": "sample", "rank": rank + 1, "quantile": quantile[rank],
             "place": place.T.ravel(), "value": value.T.ravel()}
        )  # fmt: skip
    table = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    table = table[np.isfinite(table["value"])].sort_values(["unit", "kind", "rank"], ignore_index=True)
    unit = table.pop("unit").to_numpy()
    table.insert(0, "model", selection.model)
    table.insert(1, "layer", selection.layer[unit])
    table.insert(2, "neuron", selection.neuron[unit])
    places, index = np.unique(table.pop("place").to_numpy(), return_inverse=True)
    around = contexts(data, places, config.before, config.after)
    table = pd.concat([table, around.iloc[index].reset_index(drop=True)], axis=1)
    if values is not None:
        example = table["rank"].to_numpy() - 1 + (table["kind"] == "sample").to_numpy() * config.top_examples
        windows = values.tensors["values"].cpu().numpy()[unit, example]
        starts = config.before - table["at"].to_numpy()
        lengths = table["context"].map(len).to_numpy()
        table["values"] = [
            window[start : start + length]
            for window, start, length in zip(windows, starts, lengths, strict=True)
        ]
    return table


def text_table(examples: pd.DataFrame, data: TokenBlocks) -> pd.DataFrame:
    """Text of every token that stands in an example's context: `token_id`, `text`."""
    contexts = examples["context"].tolist()
    ids = np.unique(np.concatenate(contexts)) if contexts else np.empty(0, dtype=np.int32)
    return pd.DataFrame({"token_id": ids, "text": token_texts(data.tokenizer, ids)})


def contexts(data: TokenBlocks, places: Int[ndarray, " places"], before: int, after: int) -> pd.DataFrame:
    """What stands around tokens of the store.

    Args:
        data: The store and its tokenizer.
        places: Places of the tokens (block · context + position).
        before: Tokens of context in front, fewer at the beginning of a block.
        after: Tokens of context behind, fewer at its end.

    Returns:
        One row a place: `block`, `position` in the block, `subset`, `document`, `document_position` (tokens
        since the document began), `token_id`, `token`, `context` (token ids), `at` (index of the token in
        its context) and `text` (the context with the token in ⟦ ⟧).
    """
    store = data.store
    block, position = places // store.context, places % store.context
    rows, row = np.unique(block, return_inverse=True)
    tokens = store.read(rows)
    documents = store.documents(rows, tokens, special_ids(data.tokenizer)[1])
    document = documents[row, position]
    begins = (documents[row] == document[:, None]).argmax(1)
    earlier = np.where(begins == 1, store.offset[block], 0)  # the first document of a block may go on
    starts = np.maximum(position - before, 0)
    windows = [
        tokens[own, start : at + after + 1] for own, start, at in zip(row, starts, position, strict=True)
    ]
    at = position - starts
    heads, tails = (
        decode(data.tokenizer, [window[part(own)].tolist() for window, own in zip(windows, at, strict=True)])
        for part in (lambda own: slice(0, own), lambda own: slice(own + 1, None))
    )
    texts = token_texts(data.tokenizer, tokens[row, position])
    return pd.DataFrame(
        {
            "block": block,
            "position": position,
            "subset": np.array(store.subsets, dtype=object)[store.subset[block]],
            "document": document,
            "document_position": np.where(document < 0, -1, position - begins + earlier),
            "token_id": tokens[row, position],
            "token": texts,
            "context": [window.astype(np.int32) for window in windows],
            "at": at,
            "text": [f"{head}⟦{text}⟧{tail}" for head, text, tail in zip(heads, texts, tails, strict=True)],
        }
    )
