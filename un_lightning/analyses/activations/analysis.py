"""What every neuron of a model does on text: one pass, all layers (paper sections 4 and 5; method C.1).

The model runs once on a batch; where the sums by token of all layers do not fit, the text is read again for
further groups of layers. Each layer hands over its pre- and post-activations while they are still in
the cache; everything is added piece by piece, and no matrix [tokens, all neurons] ever exists.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from un_lightning.analyses.activations.batch import Piece, pieces
from un_lightning.analyses.activations.example_values import ExampleValues
from un_lightning.analyses.activations.report import activation_results
from un_lightning.analyses.activations.statistics import layer_groups, make_statistics, plan_memory
from un_lightning.analyses.base import Plan
from un_lightning.analyses.one_model import OneModel
from un_lightning.analyses.selection import select
from un_lightning.config import ActivationsConfig, Site
from un_lightning.data.census import draw_places, seen_tokens
from un_lightning.data.datamodule import TokenBlocks
from un_lightning.data.loader import Batch
from un_lightning.errors import UserError
from un_lightning.models.family import Family
from un_lightning.results.results import Results
from un_lightning.stats.bags import Bags
from un_lightning.stats.by_token import ByToken


_TOKENS = 4096
"""Most tokens whose powers are summed in float32 before the sum goes to float64."""
_CACHED = 1 << 19
"""Values that are added at a time on a CPU: 2 MB in float32, which stay in the cache."""
_PARALLEL = 1 << 26
"""The same on an accelerator, which wants few and large steps."""


class _Open(NamedTuple):
    """The batch that is being added."""

    pieces: list[Piece]
    by_row: Bags | None
    by_position: Bags
    hits: tuple[Int[Tensor, " hits"], Int[Tensor, " hits"]] | None
    """Tokens of the batch that are in the sample, and their slots."""


class ActivationsAnalysis(OneModel):
    """Distribution, tokens, positions and examples of every neuron of one model."""

    settings: ActivationsConfig

    def __init__(self, config: ActivationsConfig, family: Family, seed: int) -> None:
        super().__init__(config, family, seed)
        before = self.model.units(Site.mlp_pre)
        if self.units.widths != before.widths:
            raise UserError(
                f"the neurons of '{self.model.name}' have no pre-activations of their own: its layers hold "
                f"{before.widths} values before the nonlinearity and {self.units.widths} after it"
            )
        self.selection = select(self.units, config.layers, config.neurons)
        self.pilot_blocks = config.pilot

    def look(self, pilot: Batch) -> dict[str, Tensor]:
        """Mean and range of each unit over a few blocks, and which tokens the pass will meet."""
        counted = pilot.counted.flatten()
        seen: dict[Site, list[Tensor]] = {Site.mlp_pre: [], Site.mlp_post: []}

        def sink(site: Site) -> Any:
            return lambda layer, activation: seen[site].append(self._take(layer, activation)[counted])

        self.model.run(pilot.tokens, {site: self._only_chosen(sink(site)) for site in seen})
        pre, post = (torch.cat(layers, dim=1).nan_to_num_(0, 0, 0) for layers in seen.values())
        if len(pre) == 0:
            pre = post = pre.new_zeros(1, self.selection.count)
        low, high = pre.amin(0), pre.amax(0)
        margin = self.settings.widen * (high - low)
        # Also a constant unit gets bins that float32 can tell apart.
        margin = margin.maximum(1e-3 * torch.maximum(low.abs(), high.abs())).clamp(min=1e-6)
        data = self._data()
        return {
            "pre_mean": pre.mean(0),
            "post_mean": post.mean(0),
            "low": low - margin,
            "high": high + margin,
            "tokens": torch.from_numpy(seen_tokens(data)),
            "places": torch.from_numpy(draw_places(data, self.settings.sample, self.seed)),
        }

    def plan(self, known: Mapping[str, Tensor]) -> Plan:
        """Once, unless the sums by token of all layers do not fit; and once for the contexts of examples."""
        context = self._data().store.context
        plan = plan_memory(self.settings, known, self.selection, self._groups(), context)
        return plan._replace(passes=plan.passes + self.settings.example_values)

    def begin(self, known: Mapping[str, Tensor]) -> None:
        """Allocate the statistics of all layers, but for the sums by token."""
        self.shifts = dict(known)
        context = self._data().store.context
        self.sums = make_statistics(self.settings, known, self.selection, self._groups(), context)
        ids = known["tokens"]
        self.rows = torch.zeros(int(ids.max()) + 1 if len(ids) else 1, dtype=torch.int64, device=self.device)
        self.rows[ids] = torch.arange(len(ids), device=self.device)
        self.scratch = self.fired = torch.empty(0, device=self.device)

    def begin_pass(self) -> None:
        """Sums by token for a group of layers; everything else is added up in the first pass."""
        self.by_token = self.example_values = None
        lasting, passes = self.sums.named(), self.passes - self.settings.example_values
        if self.current == passes:  # everything is added up, and the examples are known
            dtype = self.shifts["low"].dtype
            self.example_values = ExampleValues(self.settings, self.selection.count, self.device, dtype)
            self.statistics, self.finished = {"example_values": self.example_values}, lasting
            return
        self.group = layer_groups(self.selection, passes)[self.current]
        self.statistics = {} if self.current else {**lasting}
        self.finished = lasting if self.current else {}
        if self.sums.tokens is not None:
            self.statistics.pop("tokens", None)
            self.finished["tokens"] = self.sums.tokens
            own = [self.selection.columns[layer] for layer in self.group]
            widths, dtype = [one.stop - one.start for one in own], self.shifts["low"].dtype
            self.by_token = ByToken(len(self.shifts["tokens"]), widths, self.device, dtype)
            self.statistics["by_token"] = self.by_token

    def end_pass(self) -> None:
        """Keep what tables need of the sums by token."""
        if self.by_token is None or self.sums.tokens is None:
            return
        post = self.sums.post_moments.shape(self.shifts["post_mean"])
        for index, layer in enumerate(self.group):
            own = self.selection.columns[layer]
            self.sums.tokens.take(
                self.by_token, index, own, post.mean[own], post.var[own], self.settings.min_count
            )

    def add(self, batch: Batch) -> None:
        """Run the model once; its hooks add the layers."""
        if self.example_values is not None:
            self._look_around(batch, self.example_values)
            return
        self.open = self._prepare(batch)
        sinks = {Site.mlp_post: self._only_chosen(self._add_post)}
        if self.current == 0:
            sinks[Site.mlp_pre] = self._only_chosen(self._add_pre)
        self.model.run(batch.tokens, sinks)

    def report(self) -> Results:
        """Tables, figures and scalars."""
        return activation_results(
            self.settings,
            self.selection,
            self.sums,
            self.shifts,
            self._data(),
            self.subsets,
            self.example_values,
        )

    def _look_around(self, batch: Batch, found: ExampleValues) -> None:
        """Fill in the contexts of the examples that lie in a batch."""
        context = batch.tokens.shape[1]
        if found.block is None:  # not before the statistics of a run that goes on are loaded
            found.find(self.sums, context)
        hits = found.among(batch.blocks)

        def sink(layer: int, activation: Tensor) -> None:
            found.add(self.selection.columns[layer], self._take(layer, activation), context, hits)

        self.model.run(batch.tokens, {Site.mlp_post: self._only_chosen(sink)})

    def _prepare(self, batch: Batch) -> _Open:
        """What all layers need to know about a batch; also counts its tokens."""
        settings, sums = self.settings, self.sums
        found = pieces(batch, settings.subsets, _TOKENS, settings.histogram_share)
        tokens = batch.tokens.flatten()
        empty = tokens.new_empty(0)
        where = torch.cat([piece.where for piece in found]) if found else empty
        by_row = hits = None
        if self.by_token is not None:
            rows = self.rows[tokens[where]]
            self.by_token.add_tokens(rows)
            by_row = Bags.of(rows, where)
        position = where % batch.tokens.shape[1]
        by_position = Bags.of(position, where)
        if self.current == 0:
            sums.positions.add_tokens(position)
            if sums.sample is not None:
                place = torch.cat([piece.place for piece in found]) if found else empty
                index, slots = sums.sample.find(place)
                sums.sample.add_tokens(slots)
                hits = where[index], slots
        return _Open(found, by_row, by_position, hits)

    def _add_pre(self, layer: int, activation: Float[Tensor, "batch position units"]) -> None:
        sums, columns, opened = self.sums, self.selection.columns[layer], self.open
        values = self._take(layer, activation)
        if self.fired.shape != values.shape or self.fired.dtype != values.dtype:
            self.fired = torch.empty_like(values)
        fired = torch.gt(values, 0, out=self.fired)
        sums.positions.add("pre", columns, values, opened.by_position)
        sums.positions.add("fired", columns, fired, opened.by_position)
        for piece, own, part, room in self._parts(layer, values):
            counted = part if piece.thinned is None else part[piece.thinned]
            sums.histogram.add(piece.group, own, counted)
            if sums.published is not None:
                sums.published.add(0, own, counted)
            torch.gt(part, 0, out=room)
            part -= self.shifts["pre_mean"][own]
            sums.moments.add(piece.group, own, part, room)

    def _add_post(self, layer: int, activation: Float[Tensor, "batch position units"]) -> None:
        sums, columns, opened = self.sums, self.selection.columns[layer], self.open
        values = self._take(layer, activation)
        if self.by_token is not None and opened.by_row is not None and layer in self.group:
            self.by_token.add(self.group.index(layer), values, opened.by_row)
        if self.current > 0:
            return
        sums.positions.add("post", columns, values, opened.by_position)
        if sums.sample is not None and opened.hits is not None:
            sums.sample.add(columns, values[opened.hits[0]], opened.hits[1])
        for piece, own, part, _ in self._parts(layer, values):
            sums.top.add(own, part, piece.place)
            part -= self.shifts["post_mean"][own]
            sums.post_moments.add(0, own, part)

    def _parts(
        self, layer: int, values: Float[Tensor, "batch units"]
    ) -> Iterator[tuple[Piece, slice, Tensor, Tensor]]:
        """Walk over pieces of the batch and some units at a time, so that what is added stays in the cache.

        Yields:
            The piece, the columns of the units, a copy of their values [tokens, units] that may be changed,
            and as much room beside it.
        """
        first = self.selection.columns[layer].start
        size = _CACHED if self.device.type == "cpu" else _PARALLEL
        for piece in self.open.pieces:
            width = max(1, size // len(piece.where))
            for start in range(0, values.shape[1], width):
                stop = min(start + width, values.shape[1])
                part, room = self._gather(values[:, start:stop], piece.where)
                yield piece, slice(first + start, first + stop), part, room

    def _gather(
        self, values: Float[Tensor, "batch units"], where: Int[Tensor, " tokens"]
    ) -> tuple[Float[Tensor, "tokens units"], Float[Tensor, "tokens units"]]:
        """Copy some tokens' values into memory that is used again and again, with as much room beside."""
        shape = len(where), values.shape[1]
        size = shape[0] * shape[1]
        if self.scratch.numel() < 2 * size or self.scratch.dtype != values.dtype:
            self.scratch = torch.empty(2 * size, dtype=values.dtype, device=values.device)
        part, room = (self.scratch[start : start + size].view(shape) for start in (0, size))
        return torch.index_select(values, 0, where, out=part), room

    def _take(
        self, layer: int, activation: Float[Tensor, "batch position units"]
    ) -> Float[Tensor, "tokens chosen"]:
        """The chosen units of a layer, in the type that is added up."""
        wide = torch.float64 if activation.dtype == torch.float64 else torch.float32
        return self.selection.take(layer, activation.flatten(0, 1)).to(wide)

    def _only_chosen(self, sink: Any) -> Any:
        def choose(layer: int, activation: Tensor) -> None:
            if layer in self.selection.columns:
                sink(layer, activation)

        return choose

    def _groups(self) -> int:
        return len(self.subsets) if self.settings.subsets else 1

    def _data(self) -> TokenBlocks:
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(data, TokenBlocks)
        return data
