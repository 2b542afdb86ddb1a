"""A family: frozen models that read the same tokens."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from un_lightning.config import MemberConfig, ModelsConfig, ModelSource, Pairs
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.loading import load_member
from un_lightning.models.paths import BUNDLED, resolve_path
from un_lightning.models.tokenizers import load_tokenizer, tokenizer_fingerprint


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")


@dataclass(frozen=True)
class Family:
    """The models of a run."""

    name: str
    models: dict[str, FrozenModel]
    """Members by name, in the order of the config."""
    reference: str
    """The member that the others are compared with."""
    tokenizer: PreTrainedTokenizerBase | None
    """The tokenizer of every member; None where no member has one."""

    @property
    def context(self) -> int | None:
        """Longest input that every member takes, in tokens; None where no member names a limit."""
        return min(
            (model.context for model in self.models.values() if model.context is not None), default=None
        )

    def pairs(self, kind: Pairs) -> list[tuple[str, str]]:
        """List the pairs of members to compare.

        Args:
            kind: `star` pairs the reference with each other member; `all` takes every pair once.

        Returns:
            Pairs of names in member order, the reference always first.
        """
        others = [name for name in self.models if name != self.reference]
        if kind is Pairs.star:
            return [(self.reference, other) for other in others]
        return list(combinations([self.reference, *others], 2))


def load_family(
    models: ModelsConfig, data_tokenizer: str | None = None, needed: Collection[str] | None = None
) -> Family:
    """Load members and make sure that the same token means the same to each.

    Args:
        models: The family.
        data_tokenizer: Tokenizer that the data names: hub id, folder, or `bundled:` folder.
        needed: Names of the members to load; None loads all.

    Raises:
        UserError: A member is missing or does not load, or tokenizers or vocabularies differ.
    """
    tokenizer = shared_tokenizer(models, data_tokenizer)
    names = [member.name for member in models.members]
    for name in needed or ():
        if name not in names:
            raise UserError(f"analysis.model is '{name}', but family {models.family} has {', '.join(names)}")
    loaded: dict[str, FrozenModel] = {}
    for member in models.members:
        if needed is not None and member.name not in needed:
            continue
        loaded[member.name] = load_member(models, member)
        _check_vocabulary(loaded, tokenizer)
    return Family(models.family, loaded, models.reference, tokenizer)


def shared_tokenizer(models: ModelsConfig, data_tokenizer: str | None) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a family, without its models.

    A tokenizer that the config names, for the models or for the data, stands for the members' own.

    Args:
        models: The family.
        data_tokenizer: Tokenizer that the data names: hub id, folder, or `bundled:` folder.

    Returns:
        The tokenizer that all members share; None where none has one.

    Raises:
        UserError: A tokenizer does not load, or two of them differ.
    """
    remote = models.allow_remote_code
    named = {"models.tokenizer": models.tokenizer, "data.tokenizer": data_tokenizer}
    if models.source is ModelSource.random and data_tokenizer:
        del named["models.tokenizer"]  # random weights were trained with none: any whose ids fit will do
    found = {
        f"{key}='{path}'": load_tokenizer(path, allow_remote_code=remote)
        for key, path in named.items()
        if path
    }
    if not found and models.source in (ModelSource.hub, ModelSource.local):
        own: dict[tuple[str, str | None], PreTrainedTokenizerBase] = {}
        for member in models.members:
            if _has_tokenizer(models, member):
                origin = (member.path or "", member.revision)
                own[origin] = own.get(origin) or load_tokenizer(*origin, allow_remote_code=remote)
                found[f"model '{member.name}'"] = own[origin]
    owners = list(found)
    prints = {owner: tokenizer_fingerprint(tokenizer) for owner, tokenizer in found.items()}
    for owner in owners[1:]:
        if prints[owner] != prints[owners[0]]:
            raise UserError(
                f"{owners[0]} and {owner} have different tokenizers, so the same tokens would be different "
                f"text; compare models that share one, or set models.tokenizer if you know better"
            )
    return found[owners[0]] if owners else None


def _has_tokenizer(models: ModelsConfig, member: MemberConfig) -> bool:
    path = member.path or ""
    if models.source is ModelSource.hub and not path.startswith(BUNDLED):
        return True
    return any((Path(resolve_path(path)) / file).is_file() for file in _TOKENIZER_FILES)


def _check_vocabulary(loaded: dict[str, FrozenModel], tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Compare the newest member with the tokenizer, or without one with the first member.

    Embeddings are padded to different multiples; each need only hold the ids that the text has.
    """
    known = [model for model in loaded.values() if model.vocabulary is not None]
    if not known:
        return
    first, newest = known[0], known[-1]
    if tokenizer is None and newest.vocabulary != first.vocabulary:
        raise UserError(
            f"models '{first.name}' and '{newest.name}' have vocabularies of {first.vocabulary} and "
            f"{newest.vocabulary} tokens; compare models that share one"
        )
    if tokenizer is not None and newest.vocabulary is not None:
        highest = max(tokenizer.get_vocab().values())
        if highest >= newest.vocabulary:
            raise UserError(
                f"the tokenizer has token {highest}, but the embedding of model '{newest.name}' ends at "
                f"{newest.vocabulary - 1}; set models.tokenizer to the one that it was trained with"
            )
