"""A family of models in one's own hands: text becomes tokens, and tokens activations and logits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from un_lightning.config import Site
from un_lightning.data.blocks import Packer
from un_lightning.data.documents import Document
from un_lightning.data.pieces import tokenised
from un_lightning.data.prepare import special_ids
from un_lightning.errors import UserError
from un_lightning.models import family as loading
from un_lightning.models.edits import Edit, edited
from un_lightning.models.frozen import FrozenModel


Edits = Mapping[str, Sequence[Edit]]
"""Changes that happen together, by the member that they change."""


@dataclass(frozen=True)
class Family(loading.Family):
    """Frozen models that read the same tokens, for interactive use."""

    def tokens(self, text: str) -> Int[Tensor, "1 position"]:
        """Token ids of a text, behind one BOS; a special token's name in the text stays text.

        Raises:
            UserError: The family has no tokenizer, or the text is empty.
        """
        ids, _ = next(tokenised(iter([Document("", text, "")]), self._tokenizer()))
        if not ids:
            raise UserError("the text is empty: it has no token")
        return torch.tensor([[special_ids(self._tokenizer())[0], *ids]])

    def blocks(self, texts: Iterable[str], context: int | None = None) -> Int[Tensor, "block position"]:
        """Blocks of tokens as runs read them: documents joined by EOS and cut, each block behind one BOS.

        Args:
            texts: Documents. What is left over at their end, less than a block, is dropped.
            context: Tokens of a block with its BOS; None takes 128, or the models' context if that is less.

        Raises:
            UserError: The texts are shorter than one block, or the family has no tokenizer.
        """
        if isinstance(texts, str):
            texts = [texts]
        context = context or min(128, self.context or 128)
        if context < 2:
            raise UserError(f"context is {context}, but must be at least 2")
        packer = Packer(context, *special_ids(self._tokenizer()))
        documents = (Document("", text, "all") for text in texts)
        found = [
            torch.from_numpy(block.tokens)
            for index, (ids, document) in enumerate(tokenised(documents, self._tokenizer()))
            for block in packer.add(ids, index, document.subset)
        ]
        if not found:
            raise UserError(
                f"the texts are shorter than one block of {context} tokens: choose a smaller context"
            )
        return torch.stack(found).long()

    def capture(
        self,
        text: str | Int[Tensor, "*batch position"],
        site: Site | str = Site.mlp_post,
        edits: Edits | None = None,
        models: Sequence[str] | None = None,
    ) -> dict[str, list[Float[Tensor, "batch position units"]]]:
        """Activations at one site.

        Args:
            text: A text, or token ids of one or several texts of one length.
            site: The site (docs/architecture.md).
            edits: What is changed in each model while it runs, at every position.
            models: Members to run; None runs all.

        Returns:
            For each member one tensor [batch, position, units] a layer, so that
            `found["a"][2][0, :, 217]` is neuron L2.217 at every token of the first text.

        Raises:
            UserError: No such member, site, layer or unit, or the tokens are none of the models'.
        """
        ids = self.as_tokens(text)
        where = _site(site)
        found = {}
        for name, model in self._members(models):
            with self._edited(model, ids, edits) as own:
                found[name] = model.capture(own, where)
        return found

    @torch.no_grad()
    def logits(
        self,
        text: str | Int[Tensor, "*batch position"],
        edits: Edits | None = None,
        models: Sequence[str] | None = None,
    ) -> dict[str, Float[Tensor, "batch position vocabulary"]]:
        """Logits of the next token at every position.

        Args:
            text: A text, or token ids of one or several texts of one length.
            edits: What is changed in each model while it runs, at every position.
            models: Members to run; None runs all.

        Returns:
            For each member a tensor [batch, position, vocabulary], in nats up to a constant a position.

        Raises:
            UserError: As `capture`, or a member is no Hugging Face model.
        """
        ids = self.as_tokens(text)
        found = {}
        for name, model in self._members(models):
            if model.vocabulary is None:
                raise UserError(
                    f"model '{name}' is no Hugging Face model, so nobody knows how it makes logits"
                )
            with self._edited(model, ids, edits) as own:
                found[name] = model.module(input_ids=own, use_cache=False).logits
        return found

    def as_tokens(self, text: str | Int[Tensor, "*batch position"]) -> Int[Tensor, "batch position"]:
        """Token ids that every member can read.

        Raises:
            UserError: Too long, no whole numbers, or ids beyond the vocabulary.
        """
        ids = self.tokens(text) if isinstance(text, str) else torch.as_tensor(text)
        ids = ids[None] if ids.ndim == 1 else ids
        if ids.ndim != 2 or ids.numel() == 0 or ids.is_floating_point() or ids.dtype == torch.bool:
            raise UserError(
                f"tokens are {list(ids.shape)} of {ids.dtype}, but must be whole numbers [batch, position]"
            )
        if self.context is not None and ids.shape[1] > self.context:
            raise UserError(
                f"{ids.shape[1]} tokens are longer than the models' context of {self.context}: "
                "cut the text, or use blocks"
            )
        end = min((model.vocabulary for model in self.models.values() if model.vocabulary), default=None)
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or (end is not None and high >= end):
            raise UserError(
                f"the tokens reach from {low} to {high}, but the models know 0 to {end and end - 1}"
            )
        return ids.long()

    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise UserError(f"family {self.name} has no tokenizer: name one by tokenizer=<hub id or folder>")
        return self.tokenizer

    def _members(self, names: Sequence[str] | None) -> list[tuple[str, FrozenModel]]:
        self._refuse_strangers([names] if isinstance(names, str) else names or [])
        chosen = [names] if isinstance(names, str) else names
        return [(name, model) for name, model in self.models.items() if chosen is None or name in chosen]

    def _refuse_strangers(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.models:
                raise UserError(
                    f"there is no model '{name}', family {self.name} has {', '.join(self.models)}"
                )

    @contextmanager
    def _edited(self, model: FrozenModel, ids: Tensor, edits: Edits | None) -> Iterator[Tensor]:
        """The tokens on the model's device, while its edits are in force."""
        edits = edits or {}
        self._refuse_strangers(edits)
        device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        own = ids.to(device)
        with ExitStack() as stack:
            if edits.get(model.name):
                group = [_checked(model, edit, device) for edit in edits[model.name]]
                everywhere: Bool[Tensor, "batch position"] = torch.ones_like(own, dtype=torch.bool)
                stack.enter_context(edited(model, [group], everywhere))
            yield own


def _site(site: Site | str) -> Site:
    try:
        return Site(site)
    except ValueError as error:
        raise UserError(f"there is no site '{site}', allowed are {', '.join(Site)}") from error


def _checked(model: FrozenModel, edit: Edit, device: torch.device) -> Edit:
    """An edit on the model's device.

    Raises:
        UserError: The model has no such layer or unit, or the direction or the values are of another width.
    """
    widths = model.units(edit.site).widths
    what = f"model '{model.name}'"
    if not 0 <= edit.layer < len(widths):
        raise UserError(f"an edit is of layer {edit.layer}, but {what} has layers 0 to {len(widths) - 1}")
    width = widths[edit.layer]
    if (
        edit.units is not None
        and len(edit.units)
        and not (edit.units.min() >= 0 and edit.units.max() < width)
    ):
        raise UserError(
            f"an edit is of units {edit.units.tolist()}, but layer {edit.layer} of {what} has units 0 to "
            f"{width - 1}"
        )
    if edit.direction is not None and len(edit.direction) != width:
        raise UserError(f"an edit's direction is of {len(edit.direction)} units, but the layer has {width}")
    move = lambda value: value.to(device) if isinstance(value, Tensor) else value
    return Edit(edit.layer, edit.kind, move(edit.units), move(edit.direction), move(edit.value), edit.site)
