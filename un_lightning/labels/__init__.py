"""Yes-or-no properties of tokens that neurons are compared with (docs/labels.md).

`TokenLabels` depend on the token alone, `ContextLabels` on where it stands. Nothing here knows models.
"""

from un_lightning.labels.build import build_labels, vocabulary_labels
from un_lightning.labels.context import position_labels, previous_labels, subset_labels
from un_lightning.labels.label import ContextLabels, TokenLabels, join_labels, previous_tokens
from un_lightning.labels.registry import known_labels, label, label_family
from un_lightning.labels.syntax import syntax_labels


__all__ = [
    "ContextLabels",
    "TokenLabels",
    "build_labels",
    "join_labels",
    "known_labels",
    "label",
    "label_family",
    "position_labels",
    "previous_labels",
    "previous_tokens",
    "subset_labels",
    "syntax_labels",
    "vocabulary_labels",
]
