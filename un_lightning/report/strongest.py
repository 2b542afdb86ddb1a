"""The strongest universal neurons in words: what each responds to, where it fires, what it promotes."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from un_lightning.report.neuron_index import make_index
from un_lightning.report.neuron_sources import Sources
from un_lightning.stats.near_copies import sharing_partners


LEAST_VARIANCE = 0.05
"""Share of its variance from which a label explains a neuron (paper appendix A)."""
CONTEXT = 30
"""Characters of an example before and behind its token."""


@dataclass(frozen=True)
class Story:
    """What is known of one neuron; empty where no run says it."""

    name: str
    """Such as `L1.217`."""
    excess: float
    mean_corr: float
    copies: tuple[str, ...]
    """Neurons of the same model that match the same neurons of the others, and are left out."""
    label: str
    """The label that explains most, with the share of variance that it explains."""
    tokens: tuple[str, ...]
    """Tokens at which it is largest on average."""
    example: str
    """The text around its largest activation, the token in ⟦ ⟧."""
    promoted: tuple[str, ...]
    suppressed: tuple[str, ...]
    """Tokens whose logits its output weights raise and lower most."""

    def lines(self) -> list[str]:
        """The story as lines of at most about 80 characters, each a heading and what it says."""
        said = [f"{self.name}: excess correlation {self.excess:.2f}, mean correlation {self.mean_corr:.2f}"]
        if self.copies:
            said[0] += f" (and its near-copies {', '.join(self.copies)})"
        parts = {
            "responds to": self.label,
            "largest at": _listed(self.tokens),
            "as in": self.example,
            "promotes": _listed(self.promoted),
            "suppresses": _listed(self.suppressed),
        }
        return said + [f"  {name:11}  {value}" for name, value in parts.items() if value]


def strongest(sources: Sources, count: int = 5) -> list[Story]:
    """The universal neurons of the reference with the largest excess correlation, near-copies counted once.

    Args:
        sources: Runs, of correlation at least.
        count: How many at most.

    Returns:
        The neurons, the strongest first; none where no run says which are universal, or none is.
    """
    model = sources.reference
    table = make_index(sources).table
    if not {"universal", "excess_corr"} <= {*table.columns}:
        return []
    table = table[(table["model"] == model) & (table["universal"] == True)]  # noqa: E712 - may hold nothing
    table = table.sort_values("excess_corr", ascending=False, kind="stable")
    told: list[Story] = []
    copies: dict[int, list[str]] = {}
    rows: list[Any] = []
    every: list[Any] = list(table.itertuples(index=False))
    alike = _sharing(sources, model, {(int(row.layer), int(row.neuron)) for row in every})
    for row in every:
        key = int(row.layer), int(row.neuron)
        first = next((i for i, r in enumerate(rows) if (key, (int(r.layer), int(r.neuron))) in alike), None)
        if first is not None:
            copies.setdefault(first, []).append(_name(*key))
        elif len(rows) < count:
            rows.append(row)
    for place, row in enumerate(rows):
        told.append(_story(sources, model, row, tuple(copies.get(place, ()))))
    return told


def _story(sources: Sources, model: str, row: Any, copies: tuple[str, ...]) -> Story:
    layer, neuron = int(row.layer), int(row.neuron)

    def of(analysis: str, name: str) -> pd.DataFrame:
        found = sources.rows(analysis, name, model, layer)
        return found[found["neuron"] == neuron] if "neuron" in found else found.head(0)

    tokens = of("activations", "tokens")
    if len(tokens):
        tokens = tokens[tokens["by"] == "mean"].sort_values("rank")
    examples = of("activations", "examples")
    if len(examples):
        examples = examples[examples["kind"] == "top"].sort_values("rank")
    written = of("weights", "tokens")
    written = written[written["kind"] == "u_out"].sort_values("rank") if len(written) else written
    take = lambda rows, name, n: tuple(rows[name].astype(str).head(n)) if len(rows) else ()
    rank = written["rank"] if len(written) else pd.Series(dtype=int)
    return Story(
        name=_name(layer, neuron),
        excess=float(row.excess_corr),
        mean_corr=float(getattr(row, "mean_corr", float("nan"))),
        copies=copies,
        label=_label(of("families", "neurons")),
        tokens=take(tokens, "token", 4),
        example=_shortened(str(examples["text"].iloc[0])) if len(examples) else "",
        promoted=take(written[rank > 0], "text", 4),
        suppressed=take(written[rank < 0][::-1], "text", 4),
    )


def _label(families: pd.DataFrame) -> str:
    """What explains a neuron; a label that does no better than meaningless ones explains nothing."""
    if families.empty:
        return ""
    row = families.to_dict("records")[0]
    meaningless = "beats_null" in row and not bool(row["beats_null"])
    if pd.isna(row["vr"]) or row["vr"] < LEAST_VARIANCE or meaningless:
        return "no label that was tried"
    return f"{row['label']} ({row['vr']:.0%} of its variance)"


def _sharing(
    sources: Sources, model: str, among: set[tuple[int, int]]
) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of neurons, in both orders, that match the same neurons of the other models."""
    table = sources.rows("correlation", "matches", model)
    if table.empty:
        return set()
    own = [key in among for key in zip(table["layer"], table["neuron"], strict=True)]
    pairs = sharing_partners(table[own])
    return {((a, b), (c, d)) for a, b, c, d in pairs.astype(int).to_numpy().tolist()}


def _shortened(text: str) -> str:
    """An example on one line, with some text before and behind its token."""
    head, mark, rest = text.partition("⟦")
    token, _, tail = rest.partition("⟧")
    if not mark:
        return " ".join(text.split())[: 2 * CONTEXT]
    head, tail = " ".join(head.split(" "))[-CONTEXT:], tail[:CONTEXT]
    return "".join(part.replace("\n", "↵").replace("\t", "⇥") for part in (head, f"⟦{token}⟧", tail))


def _listed(texts: tuple[str, ...]) -> str:
    return ", ".join(repr(text) for text in texts)


def _name(layer: int, neuron: int) -> str:
    return f"L{layer}.{neuron}"
