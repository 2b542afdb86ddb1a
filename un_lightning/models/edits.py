"""Changes to activations while a model runs.

Whatever module or side of it a site is, an edit takes what passes there and hands the rest of the model
something else. Several groups of edits run at once: the batch is repeated for each group, one after the
other, and every group sees its own repetition alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from un_lightning.config import Site
from un_lightning.config.edits import EditKind
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.sites import Point, Side


@dataclass(frozen=True, eq=False, init=False)
class Edit:
    """A change to some coordinates of the activation at one site of one layer.

    The coordinates are units, or the projection onto one direction; what is orthogonal to them stays.
    """

    layer: int
    kind: EditKind
    units: Int[Tensor, " coordinates"] | None
    """Indices in the layer, without repeats."""
    direction: Float[Tensor, " width"] | None
    """Instead of units; its length does not matter."""
    value: float | Float[Tensor, " coordinates"]
    """What `fix`, `scale`, `threshold` and `add` need, means for `mean`; one a coordinate or for all."""
    site: Site

    def __init__(
        self,
        layer: int,
        kind: EditKind | str,
        units: Int[Tensor, " coordinates"] | Sequence[int] | None = None,
        direction: Float[Tensor, " width"] | None = None,
        value: float | Float[Tensor, " coordinates"] = 0.0,
        site: Site | str = Site.mlp_post,
    ) -> None:
        """Describe a change.

        Args:
            layer: Index of the layer, from 0.
            kind: What becomes of an activation (`EditKind`): fix, zero, mean, scale, threshold, relu or add.
            units: Indices in the layer, without repeats.
            direction: Instead of units; its length does not matter.
            value: What `fix`, `scale`, `threshold`, `add` and `mean` need, in the activation's units (for
                `scale` a factor); one for each coordinate or for all.
            site: Where the activation is.

        Raises:
            UserError: Neither or both of units and direction are given, or kind or site does not exist.
        """
        if (units is None) == (direction is None):
            raise UserError("an edit changes either units or a direction: name one of them")
        if units is not None:
            units = torch.as_tensor(units, dtype=torch.long)
            if len(units.unique()) < len(units):
                raise UserError("the units of an edit hold an index twice")
        fields = {"layer": layer, "units": units, "direction": direction, "value": value}
        fields |= {"kind": _member(EditKind, "kind", kind), "site": _member(Site, "site", site)}
        for name, own in fields.items():
            object.__setattr__(self, name, own)

    def change(
        self, activation: Float[Tensor, "batch position width"], where: Bool[Tensor, "batch position"]
    ) -> Float[Tensor, "batch position coordinates"]:
        """How much is added to each coordinate; zero at the positions that are left alone."""
        if self.units is not None:
            own = activation.index_select(2, self.units)
        else:
            own = activation @ self._unit_direction()[:, None]
        return (edited_values(self.kind, own, self.value) - own) * where[:, :, None]

    def apply(
        self, activation: Float[Tensor, "batch position width"], where: Bool[Tensor, "batch position"]
    ) -> None:
        """Change an activation in place."""
        if self.units is not None:
            own = activation.index_select(2, self.units)
            new = torch.where(where[:, :, None], edited_values(self.kind, own, self.value), own)
            activation.index_copy_(2, self.units, new)
        else:
            activation += self.change(activation, where) * self._unit_direction()

    def written(self, rows: Float[Tensor, "width d_model"]) -> Float[Tensor, "coordinates d_model"]:
        """What the model writes for one more of each coordinate, where it writes `rows` for the units."""
        if self.units is not None:
            return rows.index_select(0, self.units)
        return self._unit_direction()[None] @ rows

    def _unit_direction(self) -> Float[Tensor, " width"]:
        assert self.direction is not None
        return self.direction / self.direction.norm()


def _member(kind: type[StrEnum], what: str, name: str) -> Any:
    try:
        return kind(name)
    except ValueError as error:
        raise UserError(f"the {what} of an edit is '{name}', but allowed are {', '.join(kind)}") from error


def edited_values(
    kind: EditKind, values: Float[Tensor, "*shape"], value: float | Float[Tensor, "..."]
) -> Float[Tensor, "*shape"]:
    """What becomes of activations.

    Args:
        kind: The change.
        values: Activations, with the coordinates last.
        value: What the change needs, one a coordinate or for all; unused by `zero` and `relu`.
    """
    amount = torch.as_tensor(value, dtype=values.dtype, device=values.device)
    match kind:
        case EditKind.fix | EditKind.mean:
            return amount.expand_as(values)
        case EditKind.zero:
            return torch.zeros_like(values)
        case EditKind.scale:
            return values * amount
        case EditKind.threshold:
            return torch.minimum(values, amount)
        case EditKind.relu:
            return values.relu()
        case EditKind.add:
            return values + amount


Groups = Sequence[Sequence[Edit]]
"""Edits that happen together, for each repetition of the batch."""


@contextmanager
def edited(model: FrozenModel, groups: Groups, where: Bool[Tensor, "batch position"]) -> Iterator[None]:
    """Change what passes through a model for as long as the context is open.

    Args:
        model: The model.
        groups: Edits of each repetition; the tokens that run must be `len(groups)` times those of `where`.
        where: Positions that are edited.

    Raises:
        UserError: The model has no such site, or what passes there is not [batch, position, unit].
    """
    by_point: dict[tuple[Site, int], dict[int, list[Edit]]] = {}
    for index, group in enumerate(groups):
        for edit in group:
            by_point.setdefault((edit.site, edit.layer), {}).setdefault(index, []).append(edit)
    with ExitStack() as stack:
        for (site, layer), own in by_point.items():
            handle = _attach(model, model.points(site)[layer], own, len(groups), where)
            stack.callback(handle.remove)
        yield


def _attach(
    model: FrozenModel,
    point: Point,
    edits: Mapping[int, Sequence[Edit]],
    repetitions: int,
    where: Tensor,
) -> RemovableHandle:
    blocks, context = where.shape
    shape = torch.Size((repetitions * blocks, context))

    def replace(value: Any) -> Any:
        activation = model.activation(value, point, shape).clone()
        for index, own in edits.items():
            part = activation[index * blocks : (index + 1) * blocks]
            for edit in own:
                edit.apply(part, where)
        if isinstance(value, (tuple, list)):
            return type(value)((activation.view_as(value[0]), *value[1:]))
        return activation.view_as(value)

    if point.side is Side.output:
        return point.module.register_forward_hook(lambda _module, _args, output: replace(output))

    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if args:
            return (replace(args[0]), *args[1:]), kwargs
        first = next(iter(kwargs))
        return args, {**kwargs, first: replace(kwargs[first])}

    return point.module.register_forward_pre_hook(before, with_kwargs=True)
