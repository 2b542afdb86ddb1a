"""Every edit of a study on the same tokens: one untouched run, and what each edit makes of its predictions.

A unit of the last layer moves the final residual along one direction, so its logits follow in closed form
for all values at once (method G): logits(δ) = (x W + δ w W) / scale(δ) + bias, with scale(δ)² a quadratic in
δ. Any other edit runs the blocks above it again (`models.replay`) and then the final norm and the
unembedding. Logits exist for a few tokens and edits at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from un_lightning.analyses.predictions import Predictions
from un_lightning.errors import UserError
from un_lightning.models.edits import Edit
from un_lightning.models.frozen import FrozenModel
from un_lightning.models.head import Head
from un_lightning.models.replay import Recording, Replay
from un_lightning.stats.token_metrics import (
    METRICS,
    SUMS,
    Untouched,
    token_metrics,
    untouched_metrics,
    vocabulary_sums,
)


COLUMNS = (*METRICS, "scale")
"""What is measured at each token: the metrics of its logits, and the final norm's scale."""


@dataclass(frozen=True, eq=False)
class Item:
    """Edits that happen together, and the rows of the result that they fill."""

    edits: tuple[Edit, ...]
    total: int
    """Row of everything that the edits do."""
    frozen: int | None = None
    """Row of what they do while the final norm divides by the untouched scale."""
    restored: int | None = None
    """Row of what they do while the logits keep their untouched part along the token frequencies."""

    @property
    def rows(self) -> list[int]:
        """The rows that are filled, in the order total, frozen, restored."""
        return [row for row in (self.total, self.frozen, self.restored) if row is not None]


@dataclass(frozen=True)
class Frequency:
    """How often tokens occur in some text."""

    log: Float[Tensor, " vocabulary"]
    """ln of each token's share."""

    @property
    def direction(self) -> Float[Tensor, " vocabulary"]:
        """The shares' logarithms, centred and of length one (Stolfo et al. 2024)."""
        centred = self.log - self.log.mean()
        return centred / centred.norm()


@dataclass(frozen=True)
class _Base:
    """The untouched run at the counted predictions of a batch."""

    x: Float[Tensor, "tokens d_model"]
    """Centred final residual."""
    scale: Float[Tensor, " tokens"]
    untouched: Untouched
    products: Float[Tensor, "tokens vocabulary"]
    """x W."""
    picked: Int[Tensor, "tokens two"]
    """The token that comes next, and the most likely one."""
    along: Float[Tensor, " tokens"] | None
    """Untouched logits along the token frequencies."""


class Interventions:
    """Runs items on batches of tokens; row 0 of every result is the untouched run."""

    def __init__(
        self,
        model: FrozenModel,
        head: Head,
        items: Sequence[Item],
        frequency: Frequency | None = None,
    ) -> None:
        """Prepare.

        Args:
            model: A causal language model of transformers.
            head: Its final norm and unembedding.
            items: What is done to it.
            frequency: Of tokens, for `kl_frequency` and restored rows.
        """
        self.model, self.head, self.items, self.frequency = model, head, tuple(items), frequency
        self.rows = 1 + max((max(item.rows) for item in items), default=0)
        self.replay = Replay(model, head.norm, [(e.site, e.layer) for item in items for e in item.edits])
        cpu = head.W.device.type == "cpu"
        self.tile = 1 << (19 if cpu else 25)
        """Logits whose metrics are taken at a time: 2 MB in float32, which stay in a CPU's cache."""
        self.chunk = 1 << (22 if cpu else 27)
        """Logits that one matrix product makes."""
        self.stacked = 1 << (11 if cpu else 17)
        """Tokens that are run again at a time, all repetitions together."""

    def blocks_at_once(self, context: int) -> int:
        """Blocks whose logits fit into memory, several times."""
        return max(1, 8 * self.chunk // (context * self.head.W.shape[1]))

    @torch.no_grad()
    def measure(
        self,
        tokens: Int[Tensor, "batch position"],
        where: Bool[Tensor, "batch position"],
        predictions: Predictions,
    ) -> Float[Tensor, "columns rows tokens"]:
        """Run everything on a few blocks.

        Args:
            tokens: Token ids on the model's device.
            where: Positions that are edited.
            predictions: Those that count.

        Returns:
            `COLUMNS` of each row at each counted prediction.
        """
        recording = self.replay.record(tokens)
        base, own = self._untouched(recording, predictions)
        found = own.new_empty(len(COLUMNS), self.rows, len(predictions.where))
        found[:, 0] = own
        in_closed_form = [item for item in self.items if self._is_closed_form(item)]
        self._closed_form(in_closed_form, recording, where, base, predictions.where, found)
        others = [item for item in self.items if not self._is_closed_form(item)]
        others.sort(key=lambda item: min(edit.layer for edit in item.edits))
        step = max(1, self.stacked // tokens.numel())
        for start in range(0, len(others), step):
            self._rerun(others[start : start + step], recording, where, base, predictions.where, found)
        return found

    def _untouched(self, recording: Recording, predictions: Predictions) -> tuple[_Base, Tensor]:
        x = self.head.centre(recording.residual.flatten(0, 1)[predictions.where])
        scale = self.head.scale(x)
        if not torch.isfinite(scale).all():  # one broken prediction would be part of every mean
            raise UserError(
                f"the predictions of '{self.model.name}' are not finite at some tokens of this text: an "
                "activation overflows, or training diverged"
            )
        products = x @ self.head.W
        logits = products / scale[:, None]
        logits = self.head.cap(logits if self.head.bias is None else logits.add_(self.head.bias))
        along = None if self.frequency is None else logits @ self.frequency.direction
        log_frequency = None if self.frequency is None else self.frequency.log
        untouched, metrics = untouched_metrics(logits, predictions.target, log_frequency)
        picked = torch.stack([predictions.target, untouched.top], dim=1)
        return _Base(x, scale, untouched, products, picked, along), torch.cat([metrics, scale[None]])

    def _is_closed_form(self, item: Item) -> bool:
        last = len(self.replay.blocks) - 1
        if len(item.edits) != 1 or item.edits[0].layer != last:
            return False
        (edit,) = item.edits
        return (edit.site, last) in self.replay.linear and (edit.units is None or len(edit.units) == 1)

    def _closed_form(
        self,
        items: Sequence[Item],
        recording: Recording,
        where: Tensor,
        base: _Base,
        counted: Tensor,
        found: Tensor,
    ) -> None:
        """All edits of single units of the last layer, without another pass of the model."""
        solved = [self._solve(own, recording, where, base, counted) for own in _by_unit(items)]
        if not solved:
            return
        vocabulary = self.head.W.shape[1]
        widest = max(one.scale.shape[1] for one in solved)
        step = max(1, self.tile // (widest * vocabulary))
        terms = base.x.new_zeros(step, 3, vocabulary)  # x W, w W and the bias
        if self.head.bias is not None:
            terms[:, 2] = self.head.bias
        sums = [terms.new_empty(SUMS, *one.scale.shape) for one in solved]
        room = terms.new_empty(2, step * widest * vocabulary)
        for start in range(0, len(base.x), step):
            rows = slice(start, min(start + step, len(base.x)))
            count = rows.stop - start
            terms[:count, 0] = base.products[rows]
            for one, own in zip(solved, sums, strict=True):
                terms[:count, 1] = one.products
                shape = count, one.scale.shape[1], vocabulary
                logits, spare = (part[: count * shape[1] * vocabulary].view(shape) for part in room)
                torch.bmm(one.coefficients[rows], terms[:count], out=logits)
                self.head.cap(logits)
                self._reduce(logits, one.restored, base, rows, own[:, rows], spare)
        for one, own in zip(solved, sums, strict=True):
            self._fill(found, one.rows, own, one.scale, base)

    def _solve(
        self, items: Sequence[Item], recording: Recording, where: Tensor, base: _Base, counted: Tensor
    ) -> "_Solved":
        """What the edits of one unit do, as coefficients of its direction."""
        edit = items[0].edits[0]
        place = edit.site, edit.layer
        write = self.head.centre(edit.written(self.replay.linear[place])[0])
        activation = recording.activations[place].flatten(0, 1)[counted][None]
        mask = where.flatten()[counted][None]
        change = torch.cat([item.edits[0].change(activation, mask)[0] for item in items], dim=1)
        # In float64, because large terms of opposite sign may meet; one number a token costs nothing.
        x, w, delta = base.x.double(), write.double(), change.double()
        squares = x.square().sum(1)[:, None] + 2 * delta * (x @ w)[:, None] + delta.square() * (w @ w)
        scale = (squares.clamp(min=0) / len(w) + self.head.epsilon).sqrt()
        order, frozen, restored = _variants(items)
        change, scale = delta[:, order], scale[:, order]
        scale[:, frozen] = base.scale.double()[:, None]
        coefficients = torch.stack([1 / scale, change / scale, torch.ones_like(scale)], dim=2)
        rows = [row for item in items for row in item.rows]
        return _Solved(rows, restored, write @ self.head.W, coefficients.to(base.x), scale.to(base.x))

    def _rerun(
        self,
        items: Sequence[Item],
        recording: Recording,
        where: Tensor,
        base: _Base,
        counted: Tensor,
        found: Tensor,
    ) -> None:
        """Edits whose consequences run through other blocks, or that move more than one direction."""
        residuals = self.replay.residuals(recording, [item.edits for item in items], where)
        x = self.head.centre(residuals.flatten(1, 2)[:, counted].transpose(0, 1))
        scale = self.head.scale(x)
        order, frozen, restored = _variants(items)
        scale = scale[:, order]
        scale[:, frozen] = base.scale[:, None]
        rows = [row for item in items for row in item.rows]
        width, vocabulary = len(rows), self.head.W.shape[1]
        step = max(1, self.tile // (width * vocabulary))
        chunk = max(step, self.chunk // (width * vocabulary) // step * step)
        sums = x.new_empty(SUMS, len(x), width)
        room = x.new_empty(step, width, vocabulary)
        for first in range(0, len(x), chunk):
            part = slice(first, min(first + chunk, len(x)))
            normalised = x[part][:, order] / scale[part][:, :, None]
            logits = self.head.logits(normalised.flatten(0, 1)).unflatten(0, (-1, width))
            for start in range(first, part.stop, step):
                own = slice(start, min(start + step, part.stop))
                tile = logits[own.start - first : own.stop - first]
                self._reduce(tile, restored, base, own, sums[:, own], room[: len(tile)])
        self._fill(found, rows, sums, scale, base)

    def _reduce(
        self,
        logits: Float[Tensor, "part edits vocabulary"],
        restored: Sequence[int],
        base: _Base,
        tokens: slice,
        sums: Float[Tensor, "sums part edits"],
        room: Float[Tensor, "part edits vocabulary"],
    ) -> None:
        """Sums of some logits over the vocabulary; the logits are overwritten."""
        log_frequency = None
        if self.frequency is not None and base.along is not None:
            log_frequency = self.frequency.log
            direction = self.frequency.direction
            for column in restored:
                own = logits[:, column]
                own += (base.along[tokens] - own @ direction)[:, None] * direction
        probability = base.untouched.probability[tokens]
        vocabulary_sums(logits, base.picked[tokens], probability, sums, log_frequency, room)

    def _fill(self, found: Tensor, rows: Sequence[int], sums: Tensor, scale: Tensor, base: _Base) -> None:
        """Rows of the result from what was summed."""
        metrics = token_metrics(sums, base.untouched, self.frequency is not None)
        found[:-1, rows] = metrics.transpose(1, 2)
        found[-1, rows] = scale.T


@dataclass(frozen=True)
class _Solved:
    """The edits of one unit of the last layer, as a combination of three rows of the vocabulary's length."""

    rows: list[int]
    restored: list[int]
    products: Float[Tensor, " vocabulary"]
    """w W."""
    coefficients: Float[Tensor, "tokens edits 3"]
    scale: Float[Tensor, "tokens edits"]


def _by_unit(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Items that move the same direction, together."""

    def unit(item: Item) -> tuple[str, int]:
        (edit,) = item.edits
        return edit.site, -1 - id(edit.direction) if edit.units is None else int(edit.units[0])

    for _, own in groupby(sorted(items, key=unit), key=unit):
        yield list(own)


def _variants(items: Sequence[Item]) -> tuple[list[int], list[int], list[int]]:
    """For each row of some items which item it is of, and which rows are frozen and which restored."""
    order, frozen, restored = [], [], []
    for index, item in enumerate(items):
        order.append(index)
        if item.frozen is not None:
            frozen.append(len(order))
            order.append(index)
        if item.restored is not None:
            restored.append(len(order))
            order.append(index)
    return order, frozen, restored
