"""The final residual after a change of activations, without running again what lies below the change.

One untouched forward pass records what goes into each block. An edit at layer l then needs the blocks above
l alone: what the edited units write is added to the recorded output of block l, for one more of a unit adds
its row of the output projection and nothing else. Whether that holds, and whether blocks follow one another
without anything in between, is tried on the first tokens; where it does not hold, block l, or the whole
trunk, runs again with the edit in place, which is slower and gives the same.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from un_lightning.config import Site
from un_lightning.config.edits import EditKind
from un_lightning.errors import UserError
from un_lightning.models.edits import Edit, Groups, edited
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.sites import Point, Side


_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-3}
"""Relative difference that rounding may make; a wrong way of computing makes one of order one."""

Place = tuple[Site, int]
"""A site and a layer."""


@dataclass
class _Call:
    """What a block was called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def is_plain(self) -> bool:
        """Whether the residual stream is where it is expected."""
        return bool(self.args) or "hidden_states" in self.kwargs

    @property
    def hidden(self) -> Tensor:
        """The residual stream."""
        return self.args[0] if self.args else self.kwargs["hidden_states"]

    @property
    def rest(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Everything but the residual stream."""
        return self.args[1:], {name: value for name, value in self.kwargs.items() if name != "hidden_states"}

    def run(self, block: nn.Module, hidden: Tensor, repeat: Callable[[Any], Any]) -> Tensor:
        """Call a block again, on another residual stream."""
        if self.args:
            args, kwargs = (hidden, *tree_map(repeat, self.rest[0])), tree_map(repeat, self.rest[1])
        else:
            args, kwargs = (), {**tree_map(repeat, self.rest[1]), "hidden_states": hidden}
        return _hidden(block(*args, **kwargs))


@dataclass
class Recording:
    """What one untouched forward pass leaves behind."""

    tokens: Int[Tensor, "batch position"]
    residual: Float[Tensor, "batch position d_model"]
    """What goes into the final norm."""
    activations: dict[Place, Float[Tensor, "batch position _"]]
    """At the places that are edited."""
    calls: dict[int, _Call]
    outputs: dict[int, Float[Tensor, "batch position d_model"]]


class Replay:
    """Runs edits of one model on top of recorded forward passes."""

    def __init__(self, model: FrozenModel, norm: nn.Module, places: Sequence[Place]) -> None:
        """Prepare for edits.

        Args:
            model: A causal language model of transformers.
            norm: Its final norm.
            places: Sites and layers that will be edited.

        Raises:
            UserError: The model has no such site.
        """
        self.model, self.norm, self.places = model, norm, tuple(dict.fromkeys(places))
        self.points = {(site, layer): model.points(site)[layer] for site, layer in self.places}
        blocks = model.points(Site.resid_post)
        self.blocks = [point.module for point in blocks]
        self.lowest = min((layer for _, layer in self.places), default=len(blocks))
        self.linear: dict[Place, Float[Tensor, "width d_model"]] = {}
        """What each unit of a place adds to the output of its block, where that is known to be linear."""
        self._in_sequence = all(point.side is Side.output for point in blocks)
        self._per_block: dict[int, set[int]] = {}
        self._tried = False

    @torch.no_grad()
    def record(self, tokens: Int[Tensor, "batch position"]) -> Recording:
        """Run the untouched model once; the first time, also find out how edits can be run.

        Args:
            tokens: Token ids on the model's device.
        """
        if not self._tried:
            self._tried = True
            self._try(tokens)
        return self._record(tokens)

    @torch.no_grad()
    def residuals(
        self, recording: Recording, groups: Groups, where: Bool[Tensor, "batch position"]
    ) -> Float[Tensor, "groups batch position d_model"]:
        """The final residual after each group of edits.

        Args:
            recording: The untouched pass.
            groups: Edits that happen together. All groups run at once, as one larger batch.
            where: Positions that are edited.
        """
        repetitions = len(groups)
        shape = (repetitions, *recording.residual.shape)
        edits = [edit for group in groups for edit in group]
        if not self._in_sequence:
            return self._rerun(recording.tokens, groups, where).view(shape)
        lowest = min(edit.layer for edit in edits)
        own = [[edit for edit in group if edit.layer == lowest] for group in groups]
        # One edit each: of two, the second would have to see what the first one did.
        if all(len(part) < 2 and all((e.site, lowest) in self.linear for e in part) for part in own):
            hidden = torch.stack([self._written(recording, part, lowest, where) for part in own])
            hidden, start = hidden.flatten(0, 1), lowest + 1
            rest = [[edit for edit in group if edit.layer > lowest] for group in groups]
        else:
            hidden, start, rest = _repeat(recording.calls[lowest].hidden, repetitions), lowest, groups
        with edited(self.model, rest, where):
            for layer in range(start, len(self.blocks)):
                hidden = self._block(recording, layer, hidden, repetitions)
        return hidden.view(shape)

    def _written(self, recording: Recording, group: Sequence[Edit], layer: int, where: Tensor) -> Tensor:
        """The output of a block after an edit in it, or none."""
        hidden = recording.outputs[layer]
        for edit in group:
            place = edit.site, layer
            change = edit.change(recording.activations[place], where)
            hidden = hidden + change @ edit.written(self.linear[place])
        return hidden

    def _block(self, recording: Recording, layer: int, hidden: Tensor, repetitions: int) -> Tensor:
        size = len(recording.tokens)
        per_block = self._per_block.get(layer, set())
        index = itertools.count()

        def repeat(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and next(index) in per_block and len(leaf) == size:
                return _repeat(leaf, repetitions)
            return leaf

        return recording.calls[layer].run(self.blocks[layer], hidden, repeat)

    def _record(self, tokens: Tensor) -> Recording:
        residuals: list[Tensor] = []
        activations: dict[Place, Tensor] = {}
        calls: dict[int, _Call] = {}
        outputs: dict[int, Tensor] = {}
        with ExitStack() as stack:
            for layer in range(self.lowest, len(self.blocks)):
                for handle in _watch(self.blocks[layer], layer, calls, outputs):
                    stack.callback(handle.remove)
            for place, point in self.points.items():
                stack.callback(self._keep(point, place, tokens.shape, activations).remove)
            keep = lambda _module, args: residuals.append(args[0])
            stack.callback(self.norm.register_forward_pre_hook(keep).remove)
            self.model.trunk(tokens)
        if len(residuals) != 1 or len(activations) < len(self.points):
            raise UserError(f"the final norm or an edited module of '{self.model.name}' does not run")
        return Recording(tokens, residuals[0], activations, calls, outputs)

    def _keep(self, point: Point, place: Place, shape: torch.Size, activations: dict[Place, Tensor]) -> Any:
        def keep(value: Any) -> None:
            activation = self.model.activation(value, point, shape)
            # Later modules may work in place, and what goes into a linear map is not among them.
            is_input = point.side is Side.input and point.width is not None
            activations[place] = activation if is_input else activation.clone()

        if point.side is Side.output:
            return point.module.register_forward_hook(lambda _module, _args, output: keep(output))
        return point.module.register_forward_pre_hook(
            lambda _module, args, kwargs: keep((*args, *kwargs.values())[0]), with_kwargs=True
        )

    def _rerun(self, tokens: Tensor, groups: Groups, where: Tensor) -> Tensor:
        """The same by a full forward pass."""
        seen: list[Tensor] = []
        handle = self.norm.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        try:
            with edited(self.model, groups, where):
                self.model.trunk(_repeat(tokens, len(groups)))
        finally:
            handle.remove()
        return seen[0]

    def _try(self, tokens: Tensor) -> None:
        """Find out which arguments of a block belong to its batch, and which short cuts give the same."""
        if not self.places:
            return
        one, two = self._record(tokens[:1]), self._record(_repeat(tokens[:1], 2))
        above = range(self.lowest, len(self.blocks))
        self._in_sequence &= set(one.calls) == {*above} and all(call.is_plain for call in one.calls.values())
        if self._in_sequence:
            self._per_block = {layer: _batched(one.calls[layer], two.calls[layer]) for layer in above}
            self._in_sequence = self._chained(one) and self._same(one)
        if self._in_sequence:
            for place in self.places:
                rows = _written_rows(self.points[place])
                if rows is not None and self._is_linear(one, place, rows):
                    self.linear[place] = rows

    def _chained(self, one: Recording) -> bool:
        """Whether each block takes what the one below gives, and the final norm what the last one gives."""
        layers = sorted(one.calls)
        nexts = [one.calls[layer].hidden for layer in layers[1:]] + [one.residual]
        return all(
            one.outputs[layer].shape == after.shape and torch.equal(one.outputs[layer], after)
            for layer, after in zip(layers, nexts, strict=True)
        )

    def _same(self, one: Recording) -> bool:
        """Whether the blocks, run again in two repetitions, give the recorded final residual."""
        hidden = _repeat(one.calls[self.lowest].hidden, 2)
        try:
            for layer in sorted(one.calls):
                hidden = self._block(one, layer, hidden, 2)
        except (RuntimeError, TypeError, ValueError):
            return False
        return _close(hidden, _repeat(one.residual, 2))

    def _is_linear(self, one: Recording, place: Place, rows: Tensor) -> bool:
        """Whether doubling all units of a place adds what their rows say to the output of the block."""
        site, layer = place
        units = torch.arange(len(rows), device=rows.device)
        doubled = [[Edit(layer, EditKind.scale, units, value=2.0, site=site)]]
        where = torch.ones(one.tokens.shape, dtype=torch.bool, device=rows.device)
        with edited(self.model, doubled, where):
            found = self._block(one, layer, one.calls[layer].hidden, 1)
        change = one.activations[place] @ rows
        return _close(found - one.outputs[layer], change)


def _watch(
    block: nn.Module, layer: int, calls: dict[int, _Call], outputs: dict[int, Tensor]
) -> tuple[Any, Any]:
    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[layer] = _Call(args, dict(kwargs))

    def after(_module: Any, _args: Any, output: Any) -> None:
        outputs[layer] = _hidden(output)

    return block.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after)


def _hidden(output: Any) -> Tensor:
    return output[0] if isinstance(output, (tuple, list)) else output


def _repeat(tensor: Tensor, repetitions: int) -> Tensor:
    return tensor.repeat(repetitions, *[1] * (tensor.ndim - 1)) if repetitions > 1 else tensor


def _batched(one: _Call, two: _Call) -> set[int]:
    """Indices of those tensors among a block's arguments that grow with the batch."""
    sizes: list[list[int]] = []
    for call in (one, two):
        own: list[int] = []

        def note(leaf: Any, own: list[int] = own) -> Any:
            if isinstance(leaf, Tensor):
                own.append(len(leaf) if leaf.ndim else 0)
            return leaf

        for part in call.rest:
            tree_map(note, part)
        sizes.append(own)
    return {i for i, (a, b) in enumerate(zip(*sizes, strict=True)) if (a, b) == (1, 2)}


def _written_rows(point: Point) -> Tensor | None:
    """What a linear map adds to its output for one more of each of its inputs."""
    if point.side is not Side.input or point.width is None:
        return None
    weight: Any = point.module.weight
    return weight if type(point.module).__name__ == "Conv1D" else weight.T


def _close(found: Tensor, expected: Tensor) -> bool:
    tolerance = _TOLERANCE.get(found.dtype, 1e-2)
    if found.shape != expected.shape:
        return False
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1e-30))
