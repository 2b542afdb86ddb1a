"""The neurons and heads that the attention analysis looks at, as the config names them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from un_lightning.config.attention import PAIR, SCREEN
from un_lightning.errors import UserError


class Pair(NamedTuple):
    """A neuron, and a head of a later layer that reads it."""

    layer: int
    neuron: int
    head_layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}.{self.neuron} > L{self.head_layer}.H{self.head}"


class Screen(NamedTuple):
    """All neurons of a layer, and a head of a later layer that reads them."""

    layer: int
    head_layer: int
    head: int


Choice = TypeVar("Choice", Pair, Screen)


class Shape(NamedTuple):
    """What a model has."""

    model: str
    neurons: Sequence[int]
    """Of each layer."""
    heads: Sequence[int]


def parse_pairs(names: Sequence[str], shape: Shape) -> list[Pair]:
    """Pairs by name.

    Raises:
        UserError: The model has no such neuron or head, the head does not come after the neuron, or a pair is
            named twice.
    """
    found = []
    for name in names:
        match = PAIR.fullmatch(name)
        assert match is not None  # the config has checked it
        pair = Pair(*(int(number) for number in match.groups()))
        _check(name, pair.layer, pair.head_layer, pair.head, shape)
        last = shape.neurons[pair.layer] - 1
        if pair.neuron > last:
            raise UserError(
                f"'{shape.model}' has no neuron L{pair.layer}.{pair.neuron}: the last is L{pair.layer}.{last}"
            )
        found.append(pair)
    return _once("analysis.pairs", found)


def parse_screens(names: Sequence[str], shape: Shape) -> list[Screen]:
    """Layers and heads by name.

    Raises:
        UserError: The model has no such layer or head, the head does not come after the layer, or a name
            comes twice.
    """
    found = []
    for name in names:
        match = SCREEN.fullmatch(name)
        assert match is not None
        screen = Screen(*(int(number) for number in match.groups()))
        _check(name, screen.layer, screen.head_layer, screen.head, shape)
        found.append(screen)
    return _once("analysis.screen", found)


def _check(name: str, layer: int, head_layer: int, head: int, shape: Shape) -> None:
    depth = len(shape.neurons)
    for own in (layer, head_layer):
        if own >= depth:
            raise UserError(f"'{shape.model}' has no layer {own}: its layers are 0 to {depth - 1}")
    if head >= shape.heads[head_layer]:
        last = shape.heads[head_layer] - 1
        raise UserError(
            f"'{shape.model}' has no head L{head_layer}.H{head}: the last is L{head_layer}.H{last}"
        )
    if layer >= head_layer:
        raise UserError(
            f"'{name}': neurons of layer {layer} write after the heads of layer {head_layer} read; choose a "
            f"head of a later layer"
        )


def _once(key: str, found: list[Choice]) -> list[Choice]:
    for entry in found:
        if found.count(entry) > 1:
            raise UserError(f"{key} names {entry} twice")
    return found
