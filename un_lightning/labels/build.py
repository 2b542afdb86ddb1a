"""All labels that a config asks for."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from un_lightning.config.labels import LabelsConfig
from un_lightning.errors import UserError
from un_lightning.labels import affixes, letters, numbers, pronouns, shapes, words  # noqa: F401  (they register)
from un_lightning.labels.context import position_labels, subset_labels
from un_lightning.labels.decoding import BROKEN, decode_vocabulary
from un_lightning.labels.label import ContextLabels, TokenLabels, join_labels
from un_lightning.labels.pipeline import SYNTAX_KINDS
from un_lightning.labels.registry import REGISTRY, import_labels
from un_lightning.labels.syntax import syntax_labels
from un_lightning.labels.topics import read_topics, topic_labels
from un_lightning.labels.unigrams import unigram_labels


def vocabulary_labels(
    decoded: Sequence[str], special: Collection[int] = (), modules: Sequence[str] = ()
) -> TokenLabels:
    """Labels of tokens that follow from their texts.

    Special tokens have `type/special` and nothing else, texts with bytes that are no whole character (U+FFFD)
    `type/broken_utf8` and nothing else, empty texts nothing at all.

    Args:
        decoded: Text of every token id, with its leading space.
        special: Ids of tokens that stand for no text, such as BOS.
        modules: Modules whose labels are added to the package's, by name or by the name of their entry point.

    Raises:
        UserError: A module is not found, or a label's function fails.
    """
    special = set(special)
    families = list(REGISTRY.of_modules(import_labels(modules)))
    names = ["type/special", "type/broken_utf8"]
    names += [name for family in families for name in family.names.values()]
    kinds = ["type", "type"] + [family.kind for family in families for _ in family.names]
    column = {name: index for index, name in enumerate(names)}
    matrix = np.zeros((len(decoded), len(names)), dtype=bool)
    for row, text in enumerate(decoded):
        if row in special:
            matrix[row, 0] = True
        elif BROKEN in text:
            matrix[row, 1] = True
        elif text:
            for family in families:
                for name in family.of(text):
                    matrix[row, column[name]] = True
    return TokenLabels(names, kinds, torch.from_numpy(matrix))


def build_labels(
    config: LabelsConfig,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: int,
    *,
    counts: Int[Tensor, " vocabulary"] | None = None,
    subsets: Sequence[str] = (),
    context: int | None = None,
) -> tuple[TokenLabels, list[ContextLabels]]:
    """Make all labels that a config asks for.

    Labels of the previous token are not among them: they are `previous_labels` of the first part.

    Args:
        config: The settings.
        tokenizer: The tokenizer of the text.
        vocabulary: Rows of the model's embedding.
        counts: How often each token occurs in the text; without it every unigram is frequent enough.
        subsets: All subsets of the text, in the order of the store; fewer than two give no label.
        context: Tokens a block; without it there are no labels of position.

    Returns:
        Labels of the token alone, and labels in context, with names that differ over all of them.

    Raises:
        UserError: A kind, file, module or pipeline is not to be had.
    """
    decoded = decode_vocabulary(tokenizer, vocabulary)
    special = {token for token in tokenizer.all_special_ids if token < vocabulary}
    texts = ["" if token in special else text for token, text in enumerate(decoded)]
    topics = read_topics(config.topics)
    tokens = join_labels(
        [
            vocabulary_labels(decoded, special, config.modules),
            unigram_labels(texts, counts, config.unigram_variants, config.unigram_occurrences),
            topic_labels(texts, topics),
        ]
    )
    _check_kinds(config, {*tokens.kinds, "unigram", "subset", "position", *SYNTAX_KINDS})
    wanted = lambda kind: not config.kinds or kind in config.kinds
    in_context: list[ContextLabels] = []
    if len(subsets) > 1 and wanted("subset"):
        in_context.append(subset_labels(subsets))
    if context is not None and wanted("position"):
        in_context.append(position_labels(context))
    syntax = [kind for kind in SYNTAX_KINDS if wanted(kind)]
    if config.syntax is not None and syntax:
        in_context.append(syntax_labels(config.syntax, tokenizer, decoded, syntax))
    return tokens.where(lambda _, kind: wanted(kind)).held_by(config.min_tokens), in_context


def _check_kinds(config: LabelsConfig, known: Collection[str]) -> None:
    unknown = [kind for kind in config.kinds if kind not in known]
    if unknown:
        raise UserError(
            f"analysis.labels.kinds holds {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(sorted(known))}"
        )
    if config.syntax is None and any(kind in SYNTAX_KINDS for kind in config.kinds):
        raise UserError("analysis.labels.kinds asks for syntax: set analysis.labels.syntax=en_core_web_sm")
