"""What a label is: a yes-or-no property of a token, by itself or where it stands."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from un_lightning.data.loader import Batch


def check_names(names: Sequence[str], kinds: Sequence[str]) -> None:
    """Refuse names that occur twice, and names without a namespace.

    Raises:
        ValueError: A name is no `namespace/rest`, occurs twice, or has no kind.
    """
    if len(names) != len(kinds):
        raise ValueError(f"{len(names)} labels have {len(kinds)} kinds")
    bare = [name for name in names if not all(name.partition("/"))]
    if bare:
        raise ValueError(f"labels are named namespace/rest, unlike {', '.join(map(repr, bare))}")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"labels are defined twice: {', '.join(twice)}")


@dataclass(frozen=True)
class TokenLabels:
    """Labels that depend on the token's id alone."""

    names: list[str]
    """Unique, as `namespace/rest`: `letter/a`, `prefix/un`, `unigram/the`, `topic/medicine`."""
    kinds: list[str]
    """Kind of each label: `letter`, `prefix`, `unigram`, `topic` and so on."""
    matrix: Bool[Tensor, "vocabulary labels"]
    """Row: token id. Column: label."""

    def __post_init__(self) -> None:
        check_names(self.names, self.kinds)
        if self.matrix.shape[1] != len(self.names):
            raise ValueError(f"{len(self.names)} labels have {self.matrix.shape[1]} columns")

    def where(self, keep: Callable[[str, str], bool]) -> "TokenLabels":
        """Those labels whose name and kind are to be kept."""
        chosen = [
            i for i, pair in enumerate(zip(self.names, self.kinds, strict=True)) if keep(pair[0], pair[1])
        ]
        return TokenLabels(
            [self.names[i] for i in chosen], [self.kinds[i] for i in chosen], self.matrix[:, chosen]
        )

    def of_kinds(self, kinds: Collection[str]) -> "TokenLabels":
        """Those labels whose kind is among `kinds`."""
        return self.where(lambda _, kind: kind in kinds)

    def held_by(self, tokens: int) -> "TokenLabels":
        """Those labels that at least so many tokens of the vocabulary have."""
        frequent = dict(zip(self.names, (self.matrix.sum(0) >= tokens).tolist(), strict=True))
        return self.where(lambda name, _: frequent[name])


def join_labels(parts: Sequence[TokenLabels]) -> TokenLabels:
    """Labels of one vocabulary, side by side.

    Raises:
        ValueError: Two parts share a name, or differ in vocabulary.
    """
    names = [name for part in parts for name in part.names]
    kinds = [kind for part in parts for kind in part.kinds]
    if len({len(part.matrix) for part in parts}) > 1:
        raise ValueError("labels of different vocabularies cannot be joined")
    return TokenLabels(names, kinds, torch.cat([part.matrix for part in parts], dim=1))


@runtime_checkable
class ContextLabels(Protocol):
    """Labels that depend on where a token stands.

    The number of labels is fixed before the first batch. Labels are unique within each object and by their
    namespace also over all objects of a run.
    """

    names: list[str]
    kinds: list[str]

    def __call__(self, batch: Batch) -> Bool[Tensor, "tokens labels"]:
        """Labels of all tokens of a batch, block by block, on the batch's device."""
        ...


def previous_tokens(batch: Batch) -> Int[Tensor, " tokens"]:
    """Id of the token before each token, block by block.

    -1 where there is none: at the first position, behind the BOS, and where a new document begins, so no
    label of one document reaches into another (method defect E1).
    """
    previous = torch.full_like(batch.tokens, -1)
    same = batch.document[:, 1:] == batch.document[:, :-1]  # a BOS is of no document
    previous[:, 1:] = torch.where(same, batch.tokens[:, :-1], -1)
    return previous.flatten()
