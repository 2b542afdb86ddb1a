"""The first reading of the text: every label of every neuron of one model (method E.1).

Labels of a token, and of the token before it, come from sums by token id, which cost a few operations a value
however many labels there are; a product costs one multiplication a value and label. Labels in context have
no such short cut, and take the product.
"""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from un_lightning.analyses.families.model import Take
from un_lightning.analyses.selection import Selection
from un_lightning.stats.bags import Bags
from un_lightning.stats.by_position import ByPosition
from un_lightning.stats.by_token import ByToken
from un_lightning.stats.label_sums import LabelSums
from un_lightning.stats.moments import Moments
from un_lightning.stats.statistic import Statistic
from un_lightning.stats.top_examples import TopExamples


TOKENS = 4096
"""Most tokens whose powers are summed in float32 before the sum goes to float64."""


class OpenBatch(NamedTuple):
    """The batch that is being added; what all layers and models need to know of it."""

    place: Int[Tensor, " counted"]
    """Place of each counted token in the store."""
    by_token: Bags
    by_previous: Bags
    """Those counted tokens that have a token before them, by its id."""
    by_position: Bags
    context: Bool[Tensor, "counted labels"]
    """Labels in context."""
    product: Float[Tensor, "labels counted"]
    """The same as numbers, ready to be multiplied."""


@dataclass
class FamilyScan:
    """What the first reading adds up for one model."""

    current: ByToken
    previous: ByToken
    context: LabelSums
    post: Moments
    pre: Moments
    positions: ByPosition
    """Sums of `pre` and `fired` at each position."""
    top: TopExamples

    @classmethod
    def make(
        cls, selection: Selection, rows: int, context: int, labels: int, examples: int, like: Tensor
    ) -> "FamilyScan":
        """Allocate.

        Args:
            selection: The neurons.
            rows: Different tokens.
            context: Tokens of a block.
            labels: Labels in context.
            examples: Largest activations that are kept.
            like: A tensor of the device and type of the activations.
        """
        units, device, dtype = selection.count, like.device, like.dtype
        by_token = lambda: ByToken(rows, selection.widths, device, dtype, keep_maxima=False)
        return cls(
            current=by_token(),
            previous=by_token(),
            context=LabelSums(labels, units, device),
            post=Moments(1, units, device, order=2, firing=False),
            pre=Moments(1, units, device),
            positions=ByPosition(("pre", "fired"), context, units, device),
            top=TopExamples(units, examples, device, dtype),
        )

    def named(self) -> dict[str, Statistic]:
        """The statistics by name, as they are merged and saved."""
        return dict(vars(self))

    def add_tokens(self, batch: OpenBatch) -> None:
        """Count tokens and labels, once for all layers."""
        self.current.add_tokens(batch.by_token.group)
        self.previous.add_tokens(batch.by_previous.group)
        self.context.add_labels(batch.context)
        self.positions.add_tokens(batch.by_position.group)

    def sinks(
        self, pre_shift: Float[Tensor, " units"], post_shift: Float[Tensor, " units"], batch: OpenBatch
    ) -> tuple[Take, Take]:
        """What takes a layer's pre-activations, and its activations."""

        def pre(_index: int, columns: slice, values: Float[Tensor, "counted units"]) -> None:
            fired = (values > 0).to(values.dtype)
            self.positions.add("pre", columns, values, batch.by_position)
            self.positions.add("fired", columns, fired, batch.by_position)
            values -= pre_shift[columns]
            for part, own in zip(values.split(TOKENS), fired.split(TOKENS), strict=True):
                self.pre.add(0, columns, part, own)

        def post(index: int, columns: slice, values: Float[Tensor, "counted units"]) -> None:
            self.top.add(columns, values, batch.place)
            values -= post_shift[columns]
            for part in values.split(TOKENS):
                self.post.add(0, columns, part)
            self.current.add(index, values, batch.by_token)
            self.previous.add(index, values, batch.by_previous)
            if len(batch.product):
                self.context.add(columns, batch.product, values)

        return pre, post
