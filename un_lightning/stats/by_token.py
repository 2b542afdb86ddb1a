"""Sum and maximum of every unit for each token of the vocabulary (method C.1, C.4, C.5)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from un_lightning.stats.bags import Bags
from un_lightning.stats.statistic import Statistic


_VALUES = 1 << 20
"""Values whose maxima are looked for at a time: 4 MB in float32."""


class ByToken(Statistic):
    """Σx and max x for each token and unit, in float32 (float64 for float64 models), one tensor a layer.

    Rows are those tokens of the vocabulary that the run will see. Equal tokens of a batch are summed first,
    so that a frequent token's sum grows in few and large steps. A maximum begins at -∞: a unit that is
    negative at every occurrence of a token has a negative maximum there.
    """

    def __init__(
        self,
        rows: int,
        widths: Sequence[int],
        device: torch.device,
        dtype: torch.dtype,
        keep_maxima: bool = True,
    ) -> None:
        """Allocate.

        Args:
            rows: Tokens of the vocabulary.
            widths: Units of each layer.
            device: Where the sums are.
            dtype: Type of the values that will be added.
            keep_maxima: Keep the maxima, too; sums alone take half the memory.
        """
        self.keep_maxima = keep_maxima
        full = lambda width, value: torch.full((rows, width), value, dtype=dtype, device=device)
        highest = {f"max{layer:03d}": full(width, -torch.inf) for layer, width in enumerate(widths)}
        highest = highest if keep_maxima else {}
        sums = {f"sum{layer:03d}": full(width, 0.0) for layer, width in enumerate(widths)}
        counts = {"count": torch.zeros(rows, dtype=torch.int64, device=device)}
        super().__init__({**counts, **sums, **highest}, dict.fromkeys(highest, "max"))

    @property
    def count(self) -> Int64[Tensor, " rows"]:
        """How often each token was counted."""
        return self.tensors["count"]

    def add_tokens(self, rows: Int[Tensor, " tokens"]) -> None:
        """Count tokens, once for all layers."""
        self.tensors["count"] += torch.bincount(rows, minlength=len(self.count))

    def add(self, layer: int, values: Float[Tensor, "batch units"], bags: Bags) -> None:
        """Add a whole batch of a layer.

        Args:
            layer: Index among the layers.
            values: Values of all tokens of the batch.
            bags: Those tokens that count, by row.
        """
        self.tensors[f"sum{layer:03d}"].index_add_(0, bags.groups, bags.sums(values))
        if not self.keep_maxima:
            return
        maxima = self.tensors[f"max{layer:03d}"]
        size = max(1, _VALUES // values.shape[1])
        for where, rows in zip(bags.where.split(size), bags.group.split(size), strict=True):
            counted = values.index_select(0, where)
            maxima.scatter_reduce_(0, rows[:, None].expand_as(counted), counted, "amax")

    def means(self, layer: int) -> Float[Tensor, "rows units"]:
        """Mean of each token and unit; NaN for tokens that never came."""
        return self.tensors[f"sum{layer:03d}"] / self.count[:, None]

    def maxima(self, layer: int) -> Float[Tensor, "rows units"]:
        """Maximum of each token and unit; -∞ for tokens that never came."""
        return self.tensors[f"max{layer:03d}"]

    def top(
        self, layer: int, by: str, k: int, min_count: int
    ) -> tuple[Float[Tensor, "k units"], Int[Tensor, "k units"]]:
        """The tokens at which a unit is largest.

        Args:
            layer: Index among the layers.
            by: `mean` or `max`.
            k: How many.
            min_count: A token that was counted less often is left out.

        Returns:
            Values, descending, and rows of the vocabulary. -∞ where fewer tokens were counted often enough.
        """
        values = self.means(layer) if by == "mean" else self.maxima(layer)
        values = values.masked_fill((self.count < max(min_count, 1))[:, None], -torch.inf)
        found, rows = values.topk(min(k, len(values)), dim=0)
        return found, rows
