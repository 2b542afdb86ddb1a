"""One model of the families analysis: how it is read, and what is known of it from the pilot."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.analyses.selection import Selection, select
from un_lightning.config import Site
from un_lightning.errors import UserError
from un_lightning.models.frozen import FrozenModel, Sink


Take = Callable[[int, slice, Float[Tensor, "tokens units"]], None]
"""Takes the place of a layer among those that are read, the columns of its neurons, and their values."""


class FamilyModel:
    """A model, the neurons that are read, and their pilot: shifts `pre` and `post`, range `low` to `high`."""

    def __init__(self, model: FrozenModel, layers: list[int]) -> None:
        """Choose the neurons.

        Raises:
            UserError: The model has no such layer, or its neurons have no pre-activations of their own.
        """
        units, before = model.units(Site.mlp_post), model.units(Site.mlp_pre)
        if units.widths != before.widths:
            raise UserError(
                f"the neurons of '{model.name}' have no pre-activations of their own: its layers hold "
                f"{before.widths} values before the nonlinearity and {units.widths} after it"
            )
        self.model = model
        self.selection: Selection = select(units, layers)
        self.order = {layer: index for index, layer in enumerate(self.selection.columns)}
        self.pilot: Mapping[str, Tensor] = {}

    def look(
        self, tokens: Int[Tensor, "block position"], where: Int[Tensor, " counted"], widen: float
    ) -> dict[str, Float[Tensor, " units"]]:
        """Mean of both activations and range of the pre-activations over a few blocks.

        Args:
            tokens: The blocks.
            where: Flat indices of the tokens that count.
            widen: Share of the range by which it is widened on either side.
        """
        seen: dict[str, list[Tensor]] = {"pre": [], "post": []}
        self.run(
            tokens,
            where,
            lambda _index, _columns, values: seen["pre"].append(values),
            lambda _index, _columns, values: seen["post"].append(values),
        )
        pre, post = (torch.cat(layers, dim=1).nan_to_num_(0, 0, 0) for layers in seen.values())
        if len(pre) == 0:
            pre = post = pre.new_zeros(1, self.selection.count)
        low, high = pre.amin(0), pre.amax(0)
        # Also a constant neuron gets bins that float32 can tell apart.
        least = 1e-3 * torch.maximum(low.abs(), high.abs())
        margin = (widen * (high - low)).maximum(least).clamp(min=1e-6)
        return {"pre": pre.mean(0), "post": post.mean(0), "low": low - margin, "high": high + margin}

    def run(
        self, tokens: Int[Tensor, "block position"], where: Int[Tensor, " counted"], pre: Take, post: Take
    ) -> None:
        """Run the model once and hand over, layer by layer, what the chosen neurons do at some tokens.

        Args:
            tokens: The blocks.
            where: Flat indices of the tokens that count.
            pre: Takes a copy of the pre-activations, in float32 or wider.
            post: Takes a copy of the activations, after `pre` has taken the same layer.
        """

        def sink(take: Take) -> Sink:
            def one_layer(layer: int, activation: Float[Tensor, "batch position units"]) -> None:
                if layer not in self.order:
                    return
                wide = torch.float64 if activation.dtype == torch.float64 else torch.float32
                values = self.selection.take(layer, activation.flatten(0, 1)).index_select(0, where).to(wide)
                take(self.order[layer], self.selection.columns[layer], values)

            return one_layer

        self.model.run(tokens, {Site.mlp_pre: sink(pre), Site.mlp_post: sink(post)})
