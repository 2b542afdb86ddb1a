"""Universal neurons checkpoint by checkpoint: how many, which stay, when they appear (docs/emergence.md)."""

import re

import numpy as np
import pandas as pd

from un_lightning.stats.wilson import wilson_interval


KEYS = ["model", "layer", "neuron"]


def training_step(checkpoint: str, index: int) -> int:
    """The step of a checkpoint: the last number of its name, or where there is none its place in the list."""
    numbers = re.findall(r"\d+", checkpoint)
    return int(numbers[-1]) if numbers else index


def checkpoint_table(everything: pd.DataFrame) -> pd.DataFrame:
    """One row a model and checkpoint.

    Args:
        everything: One row a model, neuron and checkpoint with `index`, `checkpoint`, `step`, `valid`,
            `excess_corr` and `universal`.

    Returns:
        `universal` of `neurons` (`percent`, with Wilson's 95 % interval); `kept`, those that are universal at
        the next checkpoint, too, and their share `persistence`, with `by_chance`, the share of the next
        checkpoint's universal neurons among all; `kept_to_last` the same for the last checkpoint; `new`,
        those that were not universal one checkpoint earlier; `first`, those that never were before; `ever`,
        those that have been so far. NaN where there is no next checkpoint, or nothing that could persist.
    """
    rows = []
    for model, own in everything.groupby("model", sort=False):
        order = own.drop_duplicates("index").sort_values("index")
        marks = _marks(own)
        neurons, last = len(marks), marks[:, -1]
        ever = np.zeros(neurons, dtype=bool)
        for column, about in enumerate(order.itertuples()):
            now = marks[:, column]
            following = marks[:, column + 1] if column + 1 < marks.shape[1] else None
            before = marks[:, column - 1] if column else np.zeros_like(now)
            at = own[own["index"] == column]
            low, high = (
                float(end[0]) for end in wilson_interval(now.sum(keepdims=True), np.array([neurons]))
            )
            kept = np.nan if following is None else int((now & following).sum())
            rows.append({
                "model": model,
                "checkpoint": about.checkpoint,
                "step": about.step,
                "neurons": neurons,
                "invalid": int((~at["valid"]).sum()),
                "universal": int(now.sum()),
                "percent": 100 * now.mean(),
                "percent_low": 100 * low,
                "percent_high": 100 * high,
                "mean_excess": float(at["excess_corr"].mean()),
                "kept": kept,
                "persistence": _share(kept, now),
                "by_chance": np.nan if following is None else float(following.mean()),
                "kept_to_last": _share(int((now & last).sum()), now),
                "new": int((now & ~before).sum()),
                "first": int((now & ~ever).sum()),
                "ever": int((now | ever).sum()),
            })  # fmt: skip
            ever |= now
    return pd.DataFrame(rows)


def layer_table(everything: pd.DataFrame) -> pd.DataFrame:
    """Universal neurons of each model, checkpoint and layer."""
    grouped = everything.groupby(["model", "index", "checkpoint", "step", "layer"], sort=False)["universal"]
    table = grouped.agg(universal="sum", neurons="size").reset_index().drop(columns="index")
    table["percent"] = 100 * table["universal"] / table["neurons"]
    return table


def neuron_history(everything: pd.DataFrame) -> pd.DataFrame:
    """One row a neuron: the checkpoints at which it was universal.

    Returns:
        `checkpoints`, at how many; `first_checkpoint`, `first_step`, the earliest; `last_checkpoint`, the
        latest; `at_last`, whether at the end of training; `lost`, how often it was universal and was not so
        at the next; `excess_corr` at the end.
    """
    parts = []
    for _, own in everything.groupby("model", sort=False):
        own = own.sort_values([*KEYS, "index"], kind="stable")
        marks = _marks(own)
        order = own.drop_duplicates("index").sort_values("index")
        names, steps = order["checkpoint"].to_numpy(dtype=object), order["step"].to_numpy()
        table = own[own["index"] == own["index"].max()][[*KEYS, "excess_corr"]].reset_index(drop=True)
        some = marks.any(1)
        first, last = marks.argmax(1), marks.shape[1] - 1 - marks[:, ::-1].argmax(1)
        table["checkpoints"] = marks.sum(1)
        table["first_checkpoint"] = np.where(some, names[first], None)
        table["first_step"] = np.where(some, steps[first], np.nan)
        table["last_checkpoint"] = np.where(some, names[last], None)
        table["at_last"] = marks[:, -1]
        table["lost"] = (marks[:, :-1] & ~marks[:, 1:]).sum(1)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _marks(own: pd.DataFrame) -> np.ndarray:
    """Whether each neuron (row) is universal at each checkpoint (column), of one model.

    Raises:
        ValueError: The checkpoints have different neurons.
    """
    wide = own.pivot_table(index=["layer", "neuron"], columns="index", values="universal", aggfunc="sum")
    if wide.isna().to_numpy().any():
        raise ValueError("the checkpoints have different neurons")
    return wide.to_numpy() > 0


def _share(kept: int | float, now: np.ndarray) -> float:
    return kept / now.sum() if now.any() else float("nan")
